"""From the plan to the tasks topic: an Rx chain that emits only as the workers' lag allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from streamzarr.flow import LagDemand, Message, Stop, from_iterable, ops, run
from streamzarr.jobs.numbering import Numbering
from streamzarr.jobs.spans import Spans
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import Task, encode, headers_of, key_of, task_of
from streamzarr.queue.base import Broker, NewRecord, Producer
from streamzarr.queue.scan import scan
from streamzarr.runtime import SYSTEM, Runtime

EMIT_BATCH = 512
"""Tasks sent and flushed together: one durable write of the embedded broker, one round trip to Kafka."""


class TaskEncoder:
    """Turns runs of chunks into records. The part that all tasks of a stage share is encoded once.

    Tasks go round the partitions in `order`.
    """

    def __init__(self, job: str, plan: Numbering, order: Sequence[int]) -> None:
        self._job = job
        self._plan = plan
        self._order = order
        self._stages = [msgspec.Raw(encode(stage)) for stage in plan.stages]

    def record(self, run: range) -> NewRecord:
        """Return the record of the task that is to write these chunks, which are of one block."""
        stage, chunk = self._plan.stage_of(run.start), self._plan.chunk(run.start)
        ordinal = self._plan.blocks[stage].ordinal(chunk)
        return NewRecord(
            value=encode(Task(1, self._job, run.start, chunk, self._stages[stage], len(run))),
            key=key_of(self._job, run),
            headers=headers_of(self._job, run),
            partition=self._order[ordinal % len(self._order)],
        )


def emit(
    producer: Producer,
    topics: JobTopics,
    encoder: TaskEncoder,
    runs: Iterable[range],
    demand: LagDemand,
    stop: Stop,
    on_sent: Callable[[Sequence[range]], None],
    runtime: Runtime = SYSTEM,
) -> None:
    """Send `runs` as tasks, never more than `demand` allows; returns when all are durable, or on `stop`.

    `on_sent` is called with the runs of each batch once its tasks are durable.
    """

    def send(messages: Sequence[Message]) -> None:
        batch = [message.data for message in messages]
        producer.send(topics.tasks, list(map(encoder.record, batch)))
        producer.flush()
        on_sent(batch)

    run(from_iterable(runs, demand, batch=EMIT_BATCH).pipe(ops.settle(send)), stop=stop, runtime=runtime)


def pending_tasks(broker: Broker, topics: JobTopics, job: str) -> Spans:
    """Return the chunks of the tasks of `job` that are on the topic and not yet committed by the workers."""
    committed = broker.committed(topics.group, topics.tasks)
    info = broker.describe(topics.tasks)
    # What is trimmed meanwhile is not pending: a worker is through with it, or nobody will ever see it.
    records = scan(broker, topics.tasks, info.reading_from(committed), info.end, on_gap="skip")
    tasks = (task_of(record.headers) for record in records)
    return Spans.of(task[1] for task in tasks if task is not None and task[0] == job)
