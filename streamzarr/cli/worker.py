"""``streamzarr worker``: worker processes for chunk jobs, until they are told to stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from streamzarr.cli.options import broker_option, examples, prefix_option
from streamzarr.cli.pool import PoolCommand, run_pool
from streamzarr.redact import redacted


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class WorkerCommand(PoolCommand):
    """The numbers of the workers are options, too."""

    def owners(self) -> Sequence[type]:  # noqa: D102
        from streamzarr.jobs.options import WorkerOptions

        return (WorkerOptions, *super().owners())


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
    run_pool(Fleet(broker, processes, transforms=transforms, **options), processes, redacted(broker))
