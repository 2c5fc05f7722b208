"""``streamzarr worker``: worker processes for chunk jobs, until they are told to stop."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamzarr.cli.failures import Failure
from streamzarr.cli.options import broker_option, examples, prefix_option
from streamzarr.cli.output import counted
from streamzarr.errors import StreamzarrError

if TYPE_CHECKING:
    from streamzarr.fleet import Fleet
    from streamzarr.supervisor import Report


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@click.command(
    epilog=examples(
        "streamzarr worker --root /data --transforms my_transforms",
        "streamzarr worker --broker kafka://broker:9092 --root /data --root /scratch --processes 4",
    )
)
@broker_option
@prefix_option
@click.option(
    "--root",
    "roots",
    multiple=True,
    default=(".",),
    show_default=True,
    envvar="STREAMZARR_ROOTS",
    show_envvar=True,
    metavar="URL",
    help="Tasks may read and write below here only; repeatable (in the variable: separated by spaces).",
)
@click.option(
    "--transforms",
    multiple=True,
    envvar="STREAMZARR_TRANSFORMS",
    show_envvar=True,
    metavar="MODULE",
    help="A module that registers transforms, installed or in the current folder; repeatable.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=cores,
    show_default="one for each core",
    envvar="STREAMZARR_PROCESSES",
    show_envvar=True,
    help="Worker processes.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    envvar="STREAMZARR_THREADS",
    show_envvar=True,
    help="Threads of each process that read, transform and write chunks; more help where stores are slow.",
)
@click.option(
    "--max-demand",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    envvar="STREAMZARR_MAX_DEMAND",
    show_envvar=True,
    help="Tasks that each process takes at once.",
)
@click.option(
    "--attempts",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Attempts at a task that fails for a reason that may pass; then it is a dead letter.",
)
@click.option(
    "--drain",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Time to finish what is in flight after SIGTERM or Ctrl-C.",
)
def worker(broker: str, processes: int, transforms: tuple[str, ...], **options: Any) -> None:
    """Carry out the tasks of chunk jobs until told to stop.

    SIGTERM or Ctrl-C: finish what is in flight and hand the rest back; again: stop at once. A process that
    dies is replaced, and its tasks are done by others.
    """
    if transforms and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last: a file here must not stand in for an installed package
    from streamzarr.fleet import Fleet

    # A stop that comes before the fleet listens ends the process as it would end any other.
    fleet = Fleet(broker, processes, transforms=transforms, **options)
    fleet.start()
    threading.Thread(target=_announce, args=(fleet, broker, processes), daemon=True).start()
    _tell(fleet.run())


def _announce(fleet: Fleet, broker: str, processes: int) -> None:
    """Say when every process is up; what keeps one from it is told by ``run``."""
    try:
        fleet.wait_ready(timeout=threading.TIMEOUT_MAX)
    except (StreamzarrError, TimeoutError):
        return
    if fleet.ready:
        pids = ", ".join(str(each.pid) for each in fleet.status())
        click.echo(f"ready: {counted(processes, 'worker')} ({pids}) on {without_secrets(broker)}", err=True)


def _tell(report: Report) -> None:
    """Say how the workers ended; raises ``Failure`` unless all is done or handed back."""
    counts: dict[str, int] = {}
    for each in report.workers:
        counts[each.outcome] = counts.get(each.outcome, 0) + 1
    ended = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    restarts = sum(each.restarts for each in report.workers)
    summary = f"workers ended: {ended or 'none'}; restarts {restarts}; left in flight {len(report.left)}"
    if not report.clean:
        raise Failure(f"{summary}; what was left is done again by the next workers")
    click.echo(summary, err=True)


def without_secrets(url: str) -> str:
    """Return a broker's URL as it may be shown: no user, no options.

    >>> without_secrets("kafka://me:secret@broker:9092?sasl.password=x")
    'kafka://broker:9092'
    """
    scheme, mark, rest = url.partition("?")[0].partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
