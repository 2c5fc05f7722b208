"""The register of jobs: a topic of events, folded into what is known of each job."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, replace

from streamzarr.errors import ConfigError, MessageError
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import Cancelled, JobEvent, Resumed, Submitted, decode_event, encode
from streamzarr.queue.base import Broker, NewRecord, Record
from streamzarr.queue.scan import scan

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A job as the register knows it."""

    submitted: Submitted
    cancelled: bool = False


def new_job_id() -> str:
    """Return a ULID: 26 characters that sort by time of creation (github.com/ulid/spec)."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def fold(jobs: dict[str, JobEntry], event: JobEvent) -> None:
    """Take one event into account; events of unknown jobs are ignored."""
    match event:
        case Submitted():
            jobs.setdefault(event.job, JobEntry(event))
        case Cancelled() | Resumed() if event.job in jobs:
            jobs[event.job] = replace(jobs[event.job], cancelled=isinstance(event, Cancelled))


class Register:
    """The register, read to its end when it is opened and then as far as :meth:`refresh` has come.

    Owned by one thread; whether a job is cancelled may be asked from any. What is no job event is passed
    over: the topic is open to others, and nothing is known of a job but from events.
    """

    def __init__(self, broker: Broker, topics: JobTopics) -> None:
        self.jobs: dict[str, JobEntry] = {}
        info = broker.describe(topics.jobs)
        self._apply(scan(broker, topics.jobs, info.begin, info.end))
        self._reader = broker.reader(topics.jobs, info.end)

    def refresh(self) -> None:
        """Take in what has arrived since; does not wait."""
        self._apply(self._reader.poll(1000, timeout=0))

    def is_cancelled(self, job: str) -> bool:
        """Tell whether `job` is known and cancelled."""
        entry = self.jobs.get(job)
        return entry is not None and entry.cancelled

    def close(self) -> None:
        """Release the connection."""
        self._reader.close()

    def _apply(self, records: Iterable[Record]) -> None:
        for record in records:
            with suppress(MessageError):
                fold(self.jobs, decode_event(record.value))


def append_event(broker: Broker, topics: JobTopics, event: JobEvent) -> None:
    """Write `event` durably."""
    with broker.producer() as producer:
        producer.send(topics.jobs, [NewRecord(value=encode(event), key=event.job.encode())])
        producer.flush()


def read_register(broker: Broker, topics: JobTopics) -> dict[str, JobEntry]:
    """Return all jobs, oldest first; none where nobody has submitted any yet."""
    if topics.jobs not in broker.topics():
        return {}
    with closing(Register(broker, topics)) as register:
        return register.jobs


def find_job(broker: Broker, topics: JobTopics, job: str) -> JobEntry:
    """Return one job by its id or an unambiguous beginning of it; ``ConfigError`` says which there are."""
    jobs = read_register(broker, topics)
    matches = [id_ for id_ in jobs if id_.startswith(job.upper())]
    if len(matches) != 1:
        latest = ", ".join(list(jobs)[-3:]) or "none"
        found = "no job" if not matches else f"{len(matches)} jobs"
        raise ConfigError(
            f"{found} with id {job!r} on {broker} (topic {topics.jobs}); the latest are: {latest}"
        )
    return jobs[matches[0]]
