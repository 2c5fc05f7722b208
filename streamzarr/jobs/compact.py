"""Removing what nobody needs any more from the topics of results and of jobs.

*Results* are needed by jobs that are not done. Let ``E`` be the end of the results topic, read before the
register. A job that the register did not show then is registered later, so its first task is sent later and
its first result lies at ``E`` or behind. So everything below the smallest of ``E`` and the ``results_from``
of the jobs that are not done may go. That is announced in the register (:class:`Trimmed`) before it
is done, and so nobody takes it for a loss.

*The register* is rewritten behind itself, as Kafka's log compaction does it, but only as a whole:

1. Read to its end, ``start``. Append a copy of the registration of each job that is kept.
2. Read on to the end, ``at``. Append a :class:`Snapshot` of where all jobs stand, that names ``at``.
3. Read it back. Only when it lies at ``at``, trim the topic to ``start``.

Why it is safe: a copy alone says nothing, and a snapshot that does not lie where it says is passed over by
every reader, so a crash, an event of somebody else in between, or a second compaction leave but some records
that have no effect. A snapshot in its place says what all events before it say, apart from the jobs left out,
whoever reads it and from wherever; and every job that it names has its registration, or a copy, at ``start``
or behind it. After the trim the topic therefore says what it said before.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import msgspec

from streamzarr.errors import MessageError
from streamzarr.jobs.known import KnownJobs
from streamzarr.jobs.register import append_event, fold_records
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import Submitted, Trimmed, decode_event, encode
from streamzarr.queue.base import Broker, NewRecord
from streamzarr.queue.scan import scan

KEPT_JOBS: Final = 100
"""So many jobs that are done stay known, the newest."""
SLACK: Final = 200
"""Records of the register that may lie about before it is compacted: the work is worth it then."""
SNAPSHOT_BYTES: Final = 512 << 10
"""A larger snapshot might be more than the broker takes in one record."""

_log = logging.getLogger(__name__)


def compact(broker: Broker, topics: JobTopics, *, keep: int = KEPT_JOBS, slack: int = SLACK) -> None:
    """Remove results that no job needs any more, and what the register says of jobs that were done long ago.

    May run at any time, beside anything, and be broken off anywhere.

    Raises
    ------
    streamzarr.errors.QueueError
        The broker cannot be reached, or does not let us remove records.
    """
    results = broker.describe(topics.results)
    info = broker.describe(topics.jobs)
    begin, start = info.begin[0], info.end[0]
    known = KnownJobs()
    fold_records(known, scan(broker, topics.jobs, info.begin, info.end))
    needed = min([results.end[0], *(each.results_from for each in known.jobs().values() if not each.done)])
    if needed > results.begin[0]:
        append_event(broker, topics, Trimmed(needed))
        broker.trim(topics.results, {0: needed})
    done = [id_ for id_, entry in known.entries.items() if entry.done]
    left_out = frozenset(done[: max(0, len(done) - keep)])
    kept = len(known.entries) - len(left_out)
    if start - begin > 2 * kept + slack:
        _rewrite(broker, topics, known, left_out, begin, start)


def _rewrite(
    broker: Broker, topics: JobTopics, known: KnownJobs, left_out: frozenset[str], begin: int, start: int
) -> None:
    with broker.producer() as producer:
        for record in _copies(broker, topics, known, left_out, begin, start):
            producer.send(topics.jobs, [record])
        producer.flush()
        at = broker.describe(topics.jobs).end[0]
        fold_records(known, scan(broker, topics.jobs, {0: start}, {0: at}))
        for job in left_out:
            if (entry := known.entries.get(job)) is not None and entry.done:
                known.leave_out(job)
        snapshot = encode(known.snapshot(at))
        if len(snapshot) > SNAPSHOT_BYTES:
            _log.warning("%d jobs are too many to compact %s: forget some", len(known.entries), topics.jobs)
            return
        if any(entry.offset < start for entry in known.entries.values()):
            return  # one was resumed just now: it has no copy
        producer.send(topics.jobs, [NewRecord(snapshot)])
        producer.flush()
    if any(record.value == snapshot for record in scan(broker, topics.jobs, {0: at}, {0: at + 1})):
        broker.trim(topics.jobs, {0: start})


def _copies(
    broker: Broker, topics: JobTopics, known: KnownJobs, left_out: frozenset[str], begin: int, start: int
) -> Iterator[NewRecord]:
    """Yield a copy of the registration of each job that is kept, one at a time: they may be large."""
    places = {entry.offset: id_ for id_, entry in known.entries.items() if id_ not in left_out}
    for record in scan(broker, topics.jobs, {0: begin}, {0: start}):
        if record.offset in places:
            with suppress(MessageError):
                event = decode_event(record.value)
                if isinstance(event, Submitted):
                    yield NewRecord(encode(msgspec.structs.replace(event, copy=True)))
