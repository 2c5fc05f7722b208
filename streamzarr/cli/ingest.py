"""``streamzarr ingest``: worker processes of a feed, until they are told to stop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from streamzarr.cli.options import examples
from streamzarr.cli.pool import PoolCommand, run_pool


@click.command(
    cls=PoolCommand,
    epilog=examples(
        "streamzarr ingest fx.toml",
        "streamzarr ingest fx.toml --processes 3",
        "streamzarr ingest fx.toml --until-end",
    ),
)
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    envvar="STREAMZARR_PROCESSES",
    show_envvar=True,
    help="Worker processes, which share the partitions.",
)
@click.option("--until-end", is_flag=True, help="End when all that the topics have now is committed.")
def ingest(config: Path, processes: int, until_end: bool, **options: Any) -> None:
    """Let topics become growing arrays, each record exactly once, as the TOML file CONFIG says.

    SIGTERM or Ctrl-C: commit what has come and end; again: stop at once. A process that dies is replaced, and
    reading goes on behind what was committed. Look at it meanwhile with `streamzarr feed status`.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # for a decoder of the user's own
    from streamzarr.feed_fleet import FeedFleet

    fleet = FeedFleet(config, processes, **options)
    run_pool(fleet, processes, fleet.broker, fleet.wait_caught_up if until_end else None)
