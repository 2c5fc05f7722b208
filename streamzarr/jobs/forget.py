"""Having the register forget jobs that are over."""

from __future__ import annotations

from contextlib import nullcontext

from streamzarr.errors import ConfigError
from streamzarr.hints import DEFAULT_PREFIX
from streamzarr.jobs.compact import compact
from streamzarr.jobs.overview import read_jobs
from streamzarr.jobs.register import append_event, read_register, the_match
from streamzarr.jobs.report import JobReport
from streamzarr.jobs.scratch import remove_scratch
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import Forgotten, task_of
from streamzarr.queue.base import Broker
from streamzarr.queue.letters import DeadLetterQueue
from streamzarr.queue.open import open_broker


def forget(
    *jobs: str,
    broker: str | Broker,
    prefix: str = DEFAULT_PREFIX,
    finished: bool = False,
    older_than: float | None = None,
) -> list[str]:
    """Forget jobs: they are listed no more, and their events, results and dead letters are removed.

    Chunks stay as they are, but intermediate arrays are removed. Workers skip what may still be queued of
    these jobs.

    Parameters
    ----------
    jobs
        Ids, or beginnings of them.
    broker, prefix
        As for :func:`submit`.
    finished
        Forget all jobs that are done as well.
    older_than
        Forget all jobs as well that are over (done, incomplete, failed or cancelled) and were submitted more
        than so many seconds ago; together with `finished`, those that are done and so old.

    Returns
    -------
    list of str
        Ids of the jobs that were forgotten.

    Raises
    ------
    streamzarr.errors.ConfigError
        One of `jobs` is not known, or is not over: cancel it first. Nothing was forgotten.
    streamzarr.errors.QueueError
        The broker cannot be reached.
    """
    topics = JobTopics(prefix)
    with nullcontext(broker) if isinstance(broker, Broker) else open_broker(broker) as broker:
        reports = {report.job: report for report in read_jobs(broker, topics)}
        named = {the_match(reports, job, f"{broker} (topic {topics.jobs})") for job in jobs}
        for job in sorted(named):
            if reports[job].state == "open":
                raise ConfigError(f"job {job} is not over: cancel it first, or wait until it is")
        now = broker.runtime.wall_ns() / 1e9
        falls = {id_ for id_, each in reports.items() if _falls(each, finished, older_than, now)}
        chosen = [id_ for id_ in reports if id_ in named | falls]
        if chosen:
            for job, entry in read_register(broker, topics).items():
                if job in chosen:  # first, so that whoever is killed meanwhile can do it again
                    remove_scratch(job, entry.submitted.stages)
            append_event(broker, topics, *map(Forgotten, chosen))
            letters = DeadLetterQueue(broker, topics.dead)
            letters.drop(letters.ls(lambda letter: (task_of(letter.headers) or ("",))[0] in chosen))
            compact(broker, topics, slack=0)
    return chosen


def _falls(report: JobReport, finished: bool, older_than: float | None, now: float) -> bool:
    """Tell whether a job that was not named is forgotten."""
    if report.state == "open" or not (finished or older_than is not None):
        return False
    if finished and report.state != "done":
        return False
    return older_than is None or now - report.created / 1000 > older_than
