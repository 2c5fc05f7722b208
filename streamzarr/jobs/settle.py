"""The end of a task in a worker: result or dead letter are durable before its offset is released."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from streamzarr.errors import name_of
from streamzarr.flow import Message
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import Dead, Results, Task, Written, encode, headers_of, task_of
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.queue.base import NewRecord, Record
from streamzarr.queue.deadletter import DeadLetter

RESULTS_A_RECORD = 2000
"""Keeps a results record below 100 KB, far from any broker's limit on a message."""
CUT_HEADER = "streamzarr.cut"
"""On a dead letter whose original was too large to be kept whole: the original's size in bytes."""
CUT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Work:
    """A task, and the 16 bytes that stand for this sending of it in the register of work in flight."""

    task: Task
    token: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """A task that was carried out, and the bytes it wrote; None when its job was over."""

    task: Task
    nbytes: int | None


@dataclass(slots=True)
class _Tally:
    written: list[Written] = field(default_factory=list)
    dead: list[Dead] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)

    def records(self, job: str, worker: str) -> list[NewRecord]:
        """Return the results records of one job, each of bounded size."""
        records = []
        for start in range(0, max(len(self.written), len(self.dead), len(self.skipped)), RESULTS_A_RECORD):
            part = slice(start, start + RESULTS_A_RECORD)
            results = Results(
                job, worker, tuple(self.written[part]), tuple(self.dead[part]), tuple(self.skipped[part])
            )
            records.append(NewRecord(encode(results), key=job.encode()))
        return records


class Settler:
    """Makes the outcome of tasks durable: results, and dead letters for those that failed for good.

    Called on the chain's thread with all tasks that finished since the last call; when it returns, their
    offsets may be committed. Blocks until the broker has acknowledged.
    """

    def __init__(
        self,
        topics: JobTopics,
        worker: str,
        send: Callable[[str, Sequence[NewRecord]], None],
        flush: Callable[[], None],
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._topics = topics
        self._worker = worker
        self._send = send
        self._flush = flush
        self._limits = limits

    def __call__(self, messages: Sequence[Message]) -> None:
        """Write results and dead letters; raises ``QueueError`` when the broker did not take them all."""
        jobs: dict[str, _Tally] = defaultdict(_Tally)
        letters = []
        for message in messages:
            if message.failure is not None:
                found = _identity(message)
                letters.append(self._letter(message, found))
                if found is not None:
                    error = name_of(message.failure.error)
                    jobs[found[0]].dead.append(Dead(found[1], message.failure.attempts, error))
                continue
            outcome: Outcome = message.data
            tally, task = jobs[outcome.task.job], outcome.task.task
            if outcome.nbytes is None:
                tally.skipped.append(task)
            else:
                tally.written.append(Written(task, message.attempts, outcome.nbytes))
        if letters:
            self._send(self._topics.dead, [letter.to_record() for letter in letters])
        self._send(
            self._topics.results,
            [record for job, tally in jobs.items() for record in tally.records(job, self._worker)],
        )
        self._flush()

    def _letter(self, message: Message, found: tuple[str, int] | None) -> DeadLetter:
        assert message.record is not None
        assert message.failure is not None
        record = self._cut(message.record)
        if found is not None and task_of(record.headers) != found:
            record = record._replace(headers=record.headers + headers_of(*found))
        return DeadLetter.of(
            record,
            error=message.failure.error,
            stage=message.failure.stage,
            attempts=message.failure.attempts,
            first_seen=message.first_seen,
            worker=self._worker,
        )

    def _cut(self, record: Record) -> Record:
        """Return `record`, or where it is no task for its size alone, its beginning.

        With the reason added it might be more than the broker takes, and a letter that cannot be written
        would hold up its partition for ever. Topic, partition and offset still tell where the whole is.
        """
        key, value = record.key or b"", record.value or b""
        size = len(key) + len(value) + sum(len(name) + len(data) for name, data in record.headers)
        if size <= self._limits.max_task_bytes:
            return record
        return record._replace(
            key=record.key and key[:CUT_BYTES],
            value=record.value and value[:CUT_BYTES],
            headers=((CUT_HEADER, b"%d" % size),),
        )


def _identity(message: Message) -> tuple[str, int] | None:
    """Return job and number of the task that failed, if it is one.

    What cannot be decoded may be a task all the same: then its headers tell.
    """
    if isinstance(message.data, Work):
        return message.data.task.job, message.data.task.task
    assert message.record is not None
    return task_of(message.record.headers)
