"""All jobs at once: where each stands, from the register and one pass over the results of those not over."""

from __future__ import annotations

from streamzarr.errors import MessageError
from streamzarr.jobs.known import JobEntry
from streamzarr.jobs.ledger import Ledger
from streamzarr.jobs.numbering import Numbering
from streamzarr.jobs.register import read_register
from streamzarr.jobs.report import JobReport, state_of
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import Ended, decode_results
from streamzarr.queue.base import Broker, TopicInfo
from streamzarr.queue.scan import scan


class Standing:
    """What the results say of one job that is not over."""

    def __init__(self, entry: JobEntry, results: TopicInfo) -> None:
        self.entry = entry
        self.ledger = Ledger(Numbering.of(entry.submitted.stages).ends)
        self.newest = 0
        """Time of the newest result, milliseconds since the epoch."""
        self.start = results.reading_from({0: entry.results_from})[0]
        self.lost = self.start != entry.results_from
        """Whether results were removed from the topic that the job may have had."""


def read_standings(broker: Broker, topics: JobTopics, entries: dict[str, JobEntry]) -> dict[str, Standing]:
    """Return what the results topic says of these jobs; read from where the first of them has results."""
    info = broker.describe(topics.results)
    standings = {id_: Standing(entry, info) for id_, entry in entries.items()}
    start = min((standing.start for standing in standings.values()), default=info.end[0])
    # What one job has lost, or damage to its results, must not hide the others.
    for record in scan(broker, topics.results, {0: start}, info.end, on_gap="skip"):
        standing = standings.get((record.key or b"").decode("utf-8", "replace"))
        if standing is None:
            continue
        try:
            standing.ledger.apply(decode_results(record.value))
        except MessageError:
            continue  # belongs to no job; a handle counts it as malformed
        standing.newest = max(standing.newest, record.timestamp)
    return standings


def read_jobs(broker: Broker, topics: JobTopics) -> list[JobReport]:
    """Return a report on every job, oldest first.

    Jobs that are over cost nothing but their entry in the register; of the others the results are read.

    Raises
    ------
    streamzarr.errors.QueueError
        The broker cannot be reached.
    """
    entries = read_register(broker, topics)
    if not entries:
        return []
    open_ones = {id_: entry for id_, entry in entries.items() if entry.ended is None}
    standings = read_standings(broker, topics, open_ones) if open_ones else {}
    workers = broker.members(topics.group)
    return [
        _report(standings[id_], workers) if entry.ended is None else _ended(entry, entry.ended, workers)
        for id_, entry in entries.items()
    ]


def _report(standing: Standing, workers: int) -> JobReport:
    submitted, ledger = standing.entry.submitted, standing.ledger
    return JobReport(
        job=submitted.job,
        kind=submitted.kind,
        state=state_of(ledger, cancelled=standing.entry.cancelled),
        tasks=ledger.tasks,
        emitted=0,
        written=ledger.written,
        dead=ledger.dead,
        skipped=ledger.skipped,
        retried=ledger.retried,
        bytes=ledger.nbytes,
        seconds=max(0, standing.newest - submitted.created) / 1000,
        in_flight=0,
        workers=workers,
        created=submitted.created,
        unknown=ledger.tasks - ledger.decided if standing.lost else 0,
    )


def _ended(entry: JobEntry, ended: Ended, workers: int) -> JobReport:
    submitted = entry.submitted
    return JobReport(
        job=submitted.job,
        kind=submitted.kind,
        state=ended.state,
        tasks=Numbering.of(submitted.stages).tasks,
        emitted=0,
        written=ended.written,
        dead=ended.dead,
        skipped=0,
        retried=ended.retried,
        bytes=ended.nbytes,
        seconds=max(0, ended.newest - submitted.created) / 1000,
        in_flight=0,
        workers=workers,
        created=submitted.created,
    )
