"""From the plan to the tasks topic: an Rx chain that emits only as the workers' lag allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from streamzarr.flow import LagDemand, Message, Stop, from_iterable, ops, run
from streamzarr.jobs.numbering import Numbering
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import JOB_HEADER, TASK_HEADER, Task, encode, task_of
from streamzarr.queue.base import Broker, NewRecord, Producer
from streamzarr.queue.scan import scan

EMIT_BATCH = 512
"""Tasks sent and flushed together: one durable write of the embedded broker, one round trip to Kafka."""


class TaskEncoder:
    """Turns task numbers into records. The part that all tasks of a stage share is encoded once."""

    def __init__(self, job: str, plan: Numbering, partitions: int) -> None:
        self._job = job
        self._plan = plan
        self._partitions = partitions
        self._job_header = (JOB_HEADER, job.encode())
        self._stages = [msgspec.Raw(encode(stage)) for stage in plan.stages]

    def record(self, task: int) -> NewRecord:
        """Return the record of a task; tasks go round all partitions, which spreads them best."""
        chunk = self._plan.chunk(task)
        message = Task(1, self._job, task, chunk, self._stages[self._plan.stage_of(task)])
        return NewRecord(
            value=encode(message),
            key=b"%s/%d" % (self._job_header[1], task),
            headers=(self._job_header, (TASK_HEADER, b"%d" % task)),
            partition=task % self._partitions,
        )


def emit(
    producer: Producer,
    topics: JobTopics,
    encoder: TaskEncoder,
    tasks: Iterable[int],
    demand: LagDemand,
    stop: Stop,
    on_sent: Callable[[int], None],
) -> None:
    """Send `tasks`, never more than `demand` allows; returns when all are durable, or on `stop`.

    `on_sent` is called with the number of tasks of each batch once they are durable.
    """

    def send(messages: Sequence[Message]) -> None:
        producer.send(topics.tasks, [encoder.record(message.data) for message in messages])
        producer.flush()
        on_sent(len(messages))

    run(from_iterable(tasks, demand, batch=EMIT_BATCH).pipe(ops.settle(send)), stop=stop)


def pending_tasks(broker: Broker, topics: JobTopics, job: str) -> frozenset[int]:
    """Return the tasks of `job` that are on the topic and not yet committed by the workers."""
    committed = broker.committed(topics.group, topics.tasks)
    info = broker.describe(topics.tasks)
    pending = set()
    # What is trimmed meanwhile is not pending: a worker is through with it, or nobody will ever see it.
    for record in scan(broker, topics.tasks, info.reading_from(committed), info.end, on_gap="skip"):
        found = task_of(record.headers)
        if found is not None and found[0] == job:
            pending.add(found[1])
    return frozenset(pending)
