"""The register of jobs: a topic of events, and reading it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from streamzarr.errors import ConfigError, MessageError, QueueError
from streamzarr.jobs.known import JobEntry as JobEntry
from streamzarr.jobs.known import KnownJobs
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import (
    Announced,
    Cancelled,
    Ended,
    Forgotten,
    JobEvent,
    Notice,
    Resumed,
    Snapshot,
    Submitted,
    decode_event,
    decode_notice,
    encode,
)
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.queue.base import Broker, NewRecord, Record, TopicPartition
from streamzarr.queue.scan import scan
from streamzarr.runtime import SYSTEM, Deadline, Runtime

CATCH_UP_SECONDS = 10.0
"""How long the broker may take to hand out what it says is there."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_job_id(runtime: Runtime = SYSTEM) -> str:
    """Return a ULID: 26 characters that sort by time of creation (github.com/ulid/spec)."""
    number = (runtime.wall_ns() // 1_000_000) << 80 | int.from_bytes(runtime.random_bytes(10), "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def is_job_id(text: str) -> bool:
    """Tell whether this has the form of an id of :func:`new_job_id`.

    >>> is_job_id("01M7Y1TCG75RQM4QSKJ7P15XR6"), is_job_id("documents")
    (True, False)
    """
    return len(text) == 26 and set(text) <= set(_ALPHABET)


class Unwanted:
    """The jobs whose tasks are not to be carried out: all that a worker keeps of the register.

    A job whose registration was left out by a compaction was over by then. Its id says so: ids sort by time.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._over: dict[str, bool] = {}
        """Whether that is final."""
        self._horizon = ""
        self._late: dict[str, bool] = {}
        """Jobs that go on although their ids are below the horizon: a clock was late, or they are old."""

    def __contains__(self, job: str) -> bool:
        return job in self._over or self._is_left_out(job)

    def fold(self, offset: int, event: Notice) -> None:
        """Take one event into account; one of a job that was left out by then changes nothing."""
        match event:
            case Cancelled() | Ended() | Forgotten() if not self._is_left_out(event.job):
                final = isinstance(event, Forgotten) or (isinstance(event, Ended) and event.state == "done")
                self._late.pop(event.job, None)
                self._enter(self._over, event.job, final or self._over.get(event.job, False))
            case Resumed() if self._over.get(event.job) is False:
                del self._over[event.job]
                self._enter_late(event.job)
            case Announced() if not event.copy and event.job not in self._over:
                self._enter_late(event.job)
            case Snapshot() if event.at == offset:
                self._horizon = max(self._horizon, event.horizon)
                self._over = dict.fromkeys(event.cancelled, False)
                self._over |= {ended.job: ended.state == "done" for ended in event.ended}
                self._late = {job: True for job in event.open if job <= self._horizon}
            case _:
                pass

    def _is_left_out(self, job: str) -> bool:
        return job <= self._horizon and job not in self._late and job not in self._over

    def _enter_late(self, job: str) -> None:
        if job <= self._horizon:
            self._enter(self._late, job, True)

    def _enter(self, jobs: dict[str, bool], job: str, value: bool) -> None:
        jobs[job] = value
        if len(jobs) > self._limits.max_jobs:
            del jobs[next(iter(jobs))]


class Register:
    """What a worker asks of the register: whether a task's job is still wanted.

    Thread-safe: one thread at a time reads on. What is no job event is passed over: the topic is open to
    others, and nothing is known of a job but from events.
    """

    def __init__(self, broker: Broker, topics: JobTopics) -> None:
        self._broker = broker
        self._topic = topics.jobs
        self._where = TopicPartition(topics.jobs, 0)
        self._unwanted = Unwanted()
        self._lock = broker.runtime.lock()
        self._reader = broker.reader(self._topic)
        self.catch_up()

    def wants(self, job: str) -> bool:
        """Tell whether the tasks of `job` are to be carried out; an unknown job's are.

        A refusal is certain: before one the register is read to its end, because a job is reopened before
        its tasks are sent again.

        Raises
        ------
        streamzarr.errors.QueueError
            The job was over when last heard of, and the broker cannot say whether it still is.
        """
        if job not in self._unwanted:
            return True
        self.catch_up()
        return job not in self._unwanted

    def refresh(self) -> None:
        """Take in what has arrived since; does not wait, and leaves it to another thread that reads."""
        if self._lock.acquire(blocking=False):
            try:
                self._read(0.0)
            finally:
                self._lock.release()

    def catch_up(self) -> None:
        """Take in all that is on the topic now.

        Raises
        ------
        streamzarr.errors.QueueError
            The broker cannot be reached, or did not hand it out within 10 s.
        """
        end = self._broker.describe(self._topic).end[0]
        deadline = Deadline(self._broker.runtime, CATCH_UP_SECONDS)
        with self._lock:
            while (position := self._reader.positions()[self._where]) < end:
                if deadline.passed:
                    raise QueueError(
                        f"{self._broker}: read {self._topic} to offset {position} in "
                        f"{CATCH_UP_SECONDS:g} s, expected {end}"
                    )
                self._read(0.1)

    def close(self) -> None:
        """Release the connection."""
        with self._lock:
            self._reader.close()

    def _read(self, timeout: float) -> None:
        try:
            records = self._reader.poll(1000, timeout)
        except QueueError:
            begin = self._broker.describe(self._topic).begin[0]
            if begin <= self._reader.positions()[self._where]:
                raise
            # A compaction has overtaken us: a snapshot says all that we have missed.
            self._reader.close()
            self._reader = self._broker.reader(self._topic)
            return
        for record in records:
            with suppress(MessageError):
                self._unwanted.fold(record.offset, decode_notice(record.value))


def append_event(broker: Broker, topics: JobTopics, *events: JobEvent) -> None:
    """Write `events` durably, in order."""
    with broker.producer() as producer:
        producer.send(topics.jobs, [NewRecord(value=encode(event)) for event in events])
        producer.flush()


def read_known(broker: Broker, topics: JobTopics) -> KnownJobs:
    """Return what the register says now; nothing where nobody has submitted any job yet."""
    if topics.jobs not in broker.topics():
        return KnownJobs()
    while True:
        info = broker.describe(topics.jobs)
        known = KnownJobs(whole=info.begin[0] == 0)
        try:
            fold_records(known, scan(broker, topics.jobs, info.begin, info.end))
        except QueueError:
            if broker.describe(topics.jobs).begin == info.begin:
                raise
            continue  # compacted meanwhile
        return known


def fold_records(known: KnownJobs, records: Iterable[Record]) -> None:
    """Take in records of the register's topic; what is no job event is passed over."""
    for record in records:
        with suppress(MessageError):
            known.fold(record.offset, decode_event(record.value))


def read_register(broker: Broker, topics: JobTopics) -> dict[str, JobEntry]:
    """Return all jobs, oldest first; none where nobody has submitted any yet."""
    return read_known(broker, topics).jobs()


def find_job(broker: Broker, topics: JobTopics, job: str) -> JobEntry:
    """Return one job by its id or an unambiguous beginning of it; ``ConfigError`` says which there are."""
    known = read_known(broker, topics)
    jobs = known.jobs()
    where = f"{broker} (topic {topics.jobs})"
    lost = "" if known.whole else "; the first registrations were removed from the topic, and are lost"
    return load(broker, topics, jobs[the_match(jobs, job, where + lost)])


def the_match(jobs: Iterable[str], beginning: str, where: str) -> str:
    """Return the one id that begins so; ``ConfigError`` says which there are, and where."""
    if not beginning:
        raise ConfigError("job is '', expected an id or its beginning")
    jobs = list(jobs)
    matches = [id_ for id_ in jobs if id_.startswith(beginning.upper())]
    if len(matches) == 1:
        return matches[0]
    found = f"{len(matches)} jobs" if matches else "no job"
    latest = ", ".join(jobs[-3:]) or "none"
    raise ConfigError(f"{found} with id {beginning!r}; the latest are: {latest}; on {where}")


def load(broker: Broker, topics: JobTopics, entry: JobEntry) -> JobEntry:
    """Return `entry` with the job whole, as it was submitted."""
    for record in scan(broker, topics.jobs, {0: entry.offset}, {0: entry.offset + 1}):
        with suppress(MessageError):
            event = decode_event(record.value)
            if isinstance(event, Submitted) and event.job == entry.submitted.job:
                return replace(entry, submitted=event)
    raise QueueError(
        f"{broker}: job {entry.submitted.job} is no longer at offset {entry.offset} of {topics.jobs}; "
        "the register was compacted meanwhile, try again"
    )
