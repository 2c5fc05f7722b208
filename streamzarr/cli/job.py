"""``streamzarr job``: chunk jobs, from submission to their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from streamzarr.cli.options import (
    Duration,
    broker_option,
    examples,
    json_option,
    max_lag_option,
    open_existing,
    prefix_option,
)
from streamzarr.cli.output import (
    age,
    counted,
    duration,
    print_facts,
    print_json,
    print_line,
    print_table,
    size,
)
from streamzarr.cli.plan import plan
from streamzarr.cli.submit import follow, submit
from streamzarr.errors import ConfigError
from streamzarr.redact import redacted
from streamzarr.runtime import SYSTEM

if TYPE_CHECKING:
    from streamzarr.jobs import JobReport


@click.group()
def job() -> None:
    """Plan and submit chunk jobs, watch them, and go on with interrupted ones."""


job.add_command(submit)
job.add_command(plan)


@job.command(epilog=examples("streamzarr job status", "streamzarr job status 01M7XZ --json | jq .written"))
@click.argument("id", required=False, metavar="[JOB]")
@broker_option
@prefix_option
@json_option
def status(id: str | None, broker: str, prefix: str, as_json: bool) -> None:  # noqa: A002
    """Say where one JOB stands (the beginning of its id will do), or list all jobs."""
    from streamzarr.jobs import JobTopics, open_job, read_jobs

    with open_existing(broker) as opened:
        if id is None:
            reports = read_jobs(opened, JobTopics(prefix))
            if as_json:
                print_json(reports)
            else:
                _print_jobs(reports, empty=f"no jobs on {redacted(broker)}")
            return
        with open_job(id, broker=opened, prefix=prefix) as handle:
            report = handle.progress()
    if as_json:
        print_json(report)
    else:
        _print_job(report)


@job.command(epilog=examples("streamzarr job wait", "streamzarr job wait 01M7XZ --json"))
@click.argument("id", required=False, metavar="[JOB]")
@broker_option
@prefix_option
@json_option
def wait(id: str | None, broker: str, prefix: str, as_json: bool) -> None:  # noqa: A002
    """Watch a JOB that another process drives until it is over; without JOB the newest.

    Exit codes are those of `job submit`.
    """
    from streamzarr.jobs import JobTopics, open_job, read_register

    with open_existing(broker) as opened:
        if id is None:
            jobs = list(read_register(opened, JobTopics(prefix)))
            if not jobs:
                raise ConfigError(f"no jobs on {redacted(broker)}")
            id = jobs[-1]  # noqa: A001
        follow(open_job(id, broker=opened, prefix=prefix), broker=broker, prefix=prefix, as_json=as_json)


@job.command(epilog=examples("streamzarr job resume 01M7XZ"))
@click.argument("id", metavar="JOB")
@broker_option
@prefix_option
@max_lag_option
@json_option
def resume(id: str, broker: str, prefix: str, max_lag: int, as_json: bool) -> None:  # noqa: A002
    """Go on with a JOB whose submitter has ended, was killed, or cancelled it.

    Sends tasks for what is neither done nor queued, and waits as `job submit` does. Dead letters stay dead:
    `streamzarr dlq replay` sends those again.
    """
    from streamzarr.jobs import resume as resume_job

    with open_existing(broker) as opened:
        handle = resume_job(id, broker=opened, prefix=prefix, max_lag=max_lag)
        follow(handle, broker=broker, prefix=prefix, as_json=as_json)


@job.command(epilog=examples("streamzarr job cancel 01M7XZ"))
@click.argument("id", metavar="JOB")
@broker_option
@prefix_option
@json_option
def cancel(id: str, broker: str, prefix: str, as_json: bool) -> None:  # noqa: A002
    """Have the workers skip what is left of a JOB; chunks that are written stay."""
    from streamzarr.jobs import open_job

    with open_existing(broker) as opened, open_job(id, broker=opened, prefix=prefix) as handle:
        report = handle.cancel()
    if as_json:
        print_json(report)
    else:
        print_line(f"job {report.job}: {report.state}, {report.written} of {report.tasks} chunks written")


@job.command(
    epilog=examples("streamzarr job forget 01M7XZ", "streamzarr job forget --finished --older-than 7d")
)
@click.argument("ids", nargs=-1, metavar="[JOB]...")
@click.option("--finished", is_flag=True, help="All jobs that are done.")
@click.option(
    "--older-than",
    type=Duration(),
    help="All jobs that are over and were submitted longer ago than so; with --finished those of them that "
    "are done. Seconds, or a number with min, h or d behind it.",
)
@broker_option
@prefix_option
@json_option
def forget(
    ids: tuple[str, ...], finished: bool, older_than: float | None, broker: str, prefix: str, as_json: bool
) -> None:
    """Forget jobs that are over: events, results, dead letters and intermediate arrays go, targets stay.

    A job that is not over has to be cancelled first.
    """
    from streamzarr.jobs import forget as forget_jobs

    if not (ids or finished or older_than is not None):
        raise click.UsageError("say which: JOB, --finished or --older-than")
    with open_existing(broker) as opened:
        forgotten = forget_jobs(*ids, broker=opened, prefix=prefix, finished=finished, older_than=older_than)
    if as_json:
        print_json({"forgotten": forgotten})
    else:
        print_line(f"forgot {counted(len(forgotten), 'job')}")


def _print_jobs(reports: list[JobReport], empty: str) -> None:
    print_table(
        ("job", "kind", "state", "written", "dead", "age"),
        [(r.job, r.kind, r.state, f"{r.written}/{r.tasks}", r.dead, _age(r)) for r in reports],
        empty,
    )


def _print_job(report: JobReport) -> None:
    rate = report.bytes / report.seconds if report.seconds > 0 else 0.0
    print_facts(
        [
            ("job", report.job),
            ("kind", report.kind),
            ("state", report.state),
            ("chunks", f"{report.written} of {report.tasks} written, {size(report.bytes)}"),
            ("retried", report.retried),
            ("dead", report.dead),
            ("skipped", report.skipped),
            *([("unknown", f"{report.unknown}, their results are lost")] if report.unknown else []),
            ("workers", report.workers),
            ("submitted", f"{_age(report)} ago"),
            ("time", f"{duration(report.seconds)} from submission to the last result, {size(rate)}/s"),
        ]
    )


def _age(report: JobReport) -> str:
    return age(SYSTEM.wall_ns() / 1e9 - report.created / 1000)
