"""What the commands that run a pool of worker processes have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from streamzarr.cli.failures import EXIT_PAUSED, Failure
from streamzarr.cli.options import option_of
from streamzarr.cli.output import counted
from streamzarr.errors import StreamzarrError
from streamzarr.options import options_of
from streamzarr.runtime import SYSTEM

if TYPE_CHECKING:
    from streamzarr.runtime import Thread
    from streamzarr.supervisor import Report, Supervisor

ANNOUNCED_WITHIN: Final = 30.0
"""Seconds that processes have to come up, where all is done already."""


class PoolCommand(click.Command):
    """A command with an option for each number among the options of some dataclasses.

    They are looked up when they are first needed: the layers that define them are slow to import.
    """

    def owners(self) -> Sequence[type]:
        """Return the dataclasses."""
        from streamzarr.supervisor import SupervisionOptions

        return (SupervisionOptions,)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:  # noqa: D102
        known = {each.name for each in self.params}
        self.params += [each for each in self._numbers() if each.name not in known]
        return super().get_params(ctx)

    def _numbers(self) -> list[click.Option]:
        return [
            option_of(field, known, kind)
            for owner in self.owners()
            for field, known, kind in options_of(owner)
            if kind in (int, float, int | None, float | None)
        ]


def run_pool(
    pool: Supervisor,
    processes: int,
    where: str,
    until: Callable[[], None] | None = None,
    ended: Callable[[], tuple[str, int]] | None = None,
) -> None:
    """Run worker processes until they are told to stop; say when they are up, and how they ended.

    With `until` they are told when that returns. `ended` has the last word: what is to be said beside, and
    the exit code.

    Raises
    ------
    Failure
        Something is left in flight, or partitions paused; or the exit code is not 0.
    """
    pool.start()
    announcing = SYSTEM.thread(partial(_announce, pool, processes, where), "streamzarr-announce")
    announcing.start()
    if until is not None:
        SYSTEM.thread(partial(_stop_after, pool, until, announcing), "streamzarr-until").start()
    report = pool.run()
    _tell(report, *(("", 0) if ended is None else ended()))


def _stop_after(pool: Supervisor, until: Callable[[], None], announcing: Thread) -> None:
    with suppress(StreamzarrError):  # ``run`` tells why the pool had to end
        until()
        announcing.join(ANNOUNCED_WITHIN)  # one process may have done it all before the others are up
        pool.stop()


def _announce(pool: Supervisor, processes: int, where: str) -> None:
    """Say when every process is up; what keeps one from it is told by ``run``."""
    try:
        pool.wait_ready(timeout=None)
    except StreamzarrError:
        return
    if pool.ready:
        pids = ", ".join(str(each.pid) for each in pool.status())
        click.echo(f"ready: {counted(processes, 'worker')} ({pids}) on {where}", err=True)


def _tell(report: Report, more: str = "", code: int = 0) -> None:
    counts: dict[str, int] = {}
    for each in report.workers:
        counts[each.outcome] = counts.get(each.outcome, 0) + 1
    ended = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    restarts = sum(each.restarts for each in report.workers)
    summary = (
        f"workers ended: {ended or 'none'}; restarts {restarts}; left in flight {len(report.left)}{more}"
    )
    if not report.clean:
        raise Failure(f"{summary}; what was left is done again by the next workers")
    if report.paused:
        raise Failure(f"{summary}; partitions paused, see above why: nothing of them is lost", EXIT_PAUSED)
    if code:
        raise Failure(summary, code)
    click.echo(summary, err=True)
