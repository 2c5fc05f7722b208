"""The end of a task in a worker: result or dead letter are durable before its offset is released."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice

from streamzarr.errors import describe, name_of
from streamzarr.flow import Message, Pause, ops
from streamzarr.flow.message import Failure
from streamzarr.flow.ops import Report
from streamzarr.jobs.block import part_of
from streamzarr.jobs.outcome import Failed, Lost, Work, runs_of
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import (
    COUNT_HEADER,
    JOB_HEADER,
    TASK_HEADER,
    Dead,
    Results,
    Run,
    Task,
    Written,
    decode_stage,
    encode,
    headers_of,
    key_of,
    run_of,
    task_of,
)
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.queue.base import NewRecord, Record
from streamzarr.queue.deadletter import CUT_BYTES, CUT_HEADER, DeadLetter, size_of
from streamzarr.queue.retry import is_environmental

EXECUTE = "execute"
"""Name of the stage of a worker's chain in which a chunk fails."""
LETTERS_A_SEND = 500
"""A task can leave as many letters as it has chunks: these are made and handed to the broker at a time."""
TASK_HEADERS = (JOB_HEADER, TASK_HEADER, COUNT_HEADER)
RESULTS_A_RECORD = 2000
"""Keeps a results record below 100 KB, far from any broker's limit on a message."""


@dataclass(slots=True)
class _Tally:
    written: list[Written] = field(default_factory=list)
    dead: list[Dead] = field(default_factory=list)
    skipped: list[Run] = field(default_factory=list)

    def enter(self, work: Work, failure: Failure | None, lost: Sequence[Lost]) -> None:
        """Take in what has become of a task, and what of it is to be dead letters."""
        self.written += work.outcome.written_runs()
        if failure is None:
            self.skipped += map(run_of, runs_of(work.outcome.left(work.task.numbers)))
        self.bury(lost)

    def bury(self, lost: Sequence[Lost]) -> None:
        """Take in what is dead."""
        self.dead += [
            Dead(numbers.start, attempts, name_of(error), len(numbers)) for numbers, attempts, error in lost
        ]

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


class Bookkeeper:
    """Makes the outcome of tasks durable: results, and dead letters for those that failed for good.

    A task that failed for want of a store, or of the right to use it, is not to blame: its partition pauses,
    and it is carried out again when that goes on.

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
        pause_seconds: float = 1.0,
    ) -> None:
        self._topics = topics
        self._worker = worker
        self._send = send
        self._flush = flush
        self._limits = limits
        self._pause_seconds = pause_seconds

    def __call__(self, messages: Sequence[Message]) -> list[Report]:
        """Write results and dead letters; raises ``QueueError`` when the broker did not take them all."""
        jobs: dict[str, _Tally] = defaultdict(_Tally)
        lost: list[tuple[Message, list[Lost]]] = []
        reports: list[Report] = []
        for message in messages:
            reports.append(ops.DONE)
            if not isinstance(message.data, Work):
                lost.append((message, [self._enter_unread(message, jobs)]))
                continue
            found = _lost(message.data, message.failure)
            if (
                missing := next((each.error for each in found if is_environmental(each.error)), None)
            ) is not None:
                reports[-1] = Pause(f"task {message.data.task.job}: {describe(missing)}", self._pause_seconds)
                continue
            jobs[message.data.task.job].enter(message.data, message.failure, found)
            lost.append((message, found))
        letters = (letter.to_record() for message, found in lost for letter in self._letters(message, found))
        while batch := list(islice(letters, LETTERS_A_SEND)):
            self._send(self._topics.dead, batch)
        self._send(
            self._topics.results,
            [record for job, tally in jobs.items() for record in tally.records(job, self._worker)],
        )
        self._flush()
        return reports

    def _enter_unread(self, message: Message, jobs: dict[str, _Tally]) -> Lost:
        """Enter what cannot be decoded: it may be a task all the same, then its headers tell."""
        assert message.record is not None
        assert message.failure is not None
        job, numbers = task_of(message.record.headers) or ("", range(0))
        lost = Lost(numbers, message.failure.attempts, message.failure.error)
        if numbers:
            jobs[job].bury([lost])
        return lost

    def _letters(self, message: Message, lost: Sequence[Lost]) -> Iterator[DeadLetter]:
        assert message.record is not None
        is_task = isinstance(message.data, Work)
        part = _parts(message.data.task) if is_task else _whole(message.record)
        record = self._cut(message.record)
        for numbers, attempts, error in lost:
            yield DeadLetter.of(
                part(record, numbers),
                error=error,
                stage=EXECUTE if message.failure is None else message.failure.stage,
                attempts=attempts,
                first_seen=message.first_seen,
                worker=self._worker,
            )

    def _cut(self, record: Record) -> Record:
        """Return `record`, or where it is no task for its size alone, its beginning.

        With the reason added it might be more than the broker takes, and a letter that cannot be written
        would hold up its partition for ever. Topic, partition and offset still tell where the whole is.
        """
        size = size_of(record)
        if size <= self._limits.max_task_bytes:
            return record
        return record._replace(
            key=record.key and record.key[:CUT_BYTES],
            value=record.value and record.value[:CUT_BYTES],
            headers=((CUT_HEADER, b"%d" % size),),
        )


def _lost(work: Work, failure: Failure | None) -> list[Lost]:
    """Return what has failed of a task."""
    left = work.outcome.left(work.task.numbers)
    return work.outcome.lost(left, None if failure is None else Failed(failure.attempts, failure.error))


def _named(record: Record, job: str, numbers: range) -> Record:
    """Return `record` with headers that name these chunks of a job."""
    if task_of(record.headers) == (job, numbers):
        return record
    others = (header for header in record.headers if header[0] not in TASK_HEADERS)
    return record._replace(headers=(*others, *headers_of(job, numbers)))


def _whole(origin: Record) -> Callable[[Record, range], Record]:
    """Return what gives the record of a task that could not be read the names that it came with."""
    found = task_of(origin.headers)
    return lambda record, _: record if found is None else _named(record, *found)


def _parts(task: Task) -> Callable[[Record, range], Record]:
    """Return what makes of the record of `task` one of some of its chunks."""
    stage = cache(lambda: decode_stage(task.stage))

    def part(record: Record, numbers: range) -> Record:
        named = _named(record, task.job, numbers)
        if numbers == task.numbers:
            return named
        value = encode(part_of(task, stage(), numbers))
        return named._replace(key=key_of(task.job, numbers), value=value)

    return part
