"""``streamzarr worker``: worker processes for chunk jobs, until they are told to stop."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamzarr.cli.failures import Failure
from streamzarr.cli.options import broker_option, examples, option_of, prefix_option
from streamzarr.cli.output import counted
from streamzarr.errors import StreamzarrError
from streamzarr.options import options_of
from streamzarr.redact import redacted
from streamzarr.runtime import SYSTEM

if TYPE_CHECKING:
    from streamzarr.fleet import Fleet
    from streamzarr.supervisor import Report


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class WorkerCommand(click.Command):
    """A command with an option for each number of the worker's and the supervisor's options.

    They are looked up when they are first needed: the layers that define them are slow to import.
    """

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:  # noqa: D102
        known = {each.name for each in self.params}
        self.params += [each for each in _numbers() if each.name not in known]
        return super().get_params(ctx)


def _numbers() -> list[click.Option]:
    from streamzarr.jobs.options import WorkerOptions
    from streamzarr.supervisor import SupervisionOptions

    return [
        option_of(field, known, kind)
        for owner in (WorkerOptions, SupervisionOptions)
        for field, known, kind in options_of(owner)
        if kind in (int, float, int | None, float | None)
    ]


@click.command(
    cls=WorkerCommand,
    epilog=examples(
        "streamzarr worker --root /data --transforms my_transforms",
        "streamzarr worker --broker kafka://broker:9092 --root /data --root /scratch --processes 4",
    ),
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
    SYSTEM.thread(partial(_announce, fleet, broker, processes), "streamzarr-announce").start()
    tell(fleet.run())


def _announce(fleet: Fleet, broker: str, processes: int) -> None:
    """Say when every process is up; what keeps one from it is told by ``run``."""
    try:
        fleet.wait_ready(timeout=None)
    except StreamzarrError:
        return
    if fleet.ready:
        pids = ", ".join(str(each.pid) for each in fleet.status())
        click.echo(f"ready: {counted(processes, 'worker')} ({pids}) on {redacted(broker)}", err=True)


def tell(report: Report) -> None:
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
