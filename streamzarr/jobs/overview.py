"""All jobs at once: where each stands, from one pass over the results topic."""

from __future__ import annotations

from streamzarr.errors import MessageError
from streamzarr.jobs.ledger import Ledger
from streamzarr.jobs.plan import Plan
from streamzarr.jobs.register import JobEntry, read_register
from streamzarr.jobs.report import JobReport, state_of
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import decode_results
from streamzarr.queue.base import Broker
from streamzarr.queue.scan import scan


def read_jobs(broker: Broker, topics: JobTopics) -> list[JobReport]:
    """Return a report on every job, oldest first; memory: one byte a task.

    Raises
    ------
    streamzarr.errors.QueueError
        The broker cannot be reached.
    """
    entries = read_register(broker, topics)
    if not entries:
        return []
    plans = {id_: Plan.of(entry.submitted.stages) for id_, entry in entries.items()}
    ledgers = {id_: Ledger(plan.tasks) for id_, plan in plans.items()}
    newest = dict.fromkeys(entries, 0)
    end = broker.describe(topics.results).end
    start = {0: min(entry.submitted.results_from for entry in entries.values())}
    for record in scan(broker, topics.results, start, end):
        job = (record.key or b"").decode("utf-8", "replace")
        if job in ledgers:
            try:
                ledgers[job].apply(decode_results(record.value))
            except MessageError:
                continue  # belongs to no job; a handle counts it as malformed
            newest[job] = max(newest[job], record.timestamp)
    workers = broker.members(topics.group)
    return [_report(entries[id_], plans[id_], ledgers[id_], newest[id_], workers) for id_ in entries]


def _report(entry: JobEntry, plan: Plan, ledger: Ledger, newest: int, workers: int) -> JobReport:
    submitted = entry.submitted
    return JobReport(
        job=submitted.job,
        kind=submitted.kind,
        state=state_of(plan, ledger, cancelled=entry.cancelled),
        tasks=ledger.tasks,
        emitted=0,
        written=ledger.written,
        dead=ledger.dead,
        skipped=ledger.skipped,
        retried=ledger.retried,
        bytes=ledger.nbytes,
        seconds=max(0, newest - submitted.created) / 1000,
        in_flight=0,
        workers=workers,
        created=submitted.created,
    )
