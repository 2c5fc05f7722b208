"""``streamzarr ingest``: worker processes of a feed, until they are told to stop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamzarr.cli.failures import EXIT_DEAD_LETTERS
from streamzarr.cli.options import examples
from streamzarr.cli.output import counted
from streamzarr.cli.pool import PoolCommand, run_pool
from streamzarr.errors import StreamzarrError

if TYPE_CHECKING:
    from streamzarr.feed_fleet import FeedFleet


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

    SIGTERM or Ctrl-C: commit what has come and end; again: stop at once. So does a terminal that is closed
    (SIGHUP), once. A process that dies is replaced, and reading goes on behind what was committed. Look at it
    meanwhile with `streamzarr feed status`. At the end it says how many records were bad.

    Exit code: 0 all processes ended as they were told to, and what they had taken is committed; 2 the feed
    cannot go on, or a process was stopped before it had committed: the last line says why, and what is
    missing is read again; 3 with --until-end, half of the records or more were bad; 130 Ctrl-C before the
    processes were started.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # for a decoder of the user's own
    from streamzarr.feed_fleet import FeedFleet

    fleet = FeedFleet(config, processes, **options)
    until = fleet.wait_caught_up if until_end else None
    run_pool(fleet, processes, fleet.broker, until, lambda: _ended(fleet, until_end=until_end))


def _ended(fleet: FeedFleet, *, until_end: bool) -> tuple[str, int]:
    """Return what is to be said of bad records, and the exit code.

    A service that was told to stop has ended well, and a few bad records are in the letters of every feed.
    """
    from streamzarr.feeds.outcome import see_letters

    try:
        found = fleet.outcome()
    except (StreamzarrError, OSError):  # the end is told all the same
        return "", 0
    if not found.bad:
        return "", 0
    bad, where = sum(found.bad.values()), ", ".join(found.bad)
    said = (
        f"; bad: {bad} of {counted(found.records, 'record')}, in {where}, see "
        f"{see_letters(found.bad, fleet.broker_url)}"
    )
    return said, EXIT_DEAD_LETTERS if until_end and found.mostly_bad else 0
