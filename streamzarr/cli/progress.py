"""How far a command is: a bar in a terminal, lines in a pipe, and nothing where it takes no time."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, Protocol, TypeVar

import click

from streamzarr.runtime import SYSTEM, Runtime

T = TypeVar("T")

SILENT_SECONDS: Final = 2.0
"""So long nothing is shown."""
LINE_SECONDS: Final = 5.0
"""Time between two lines in a pipe."""


class Show(Protocol):
    """Told as work goes on, as often as one likes."""

    def __call__(self, done: int, total: int | None = None) -> None:
        """Show that `done` of `total` are done; None: nobody knows of how many."""


@contextmanager
def showing(unit: str, runtime: Runtime = SYSTEM) -> Iterator[Show]:
    """Yield what shows on standard error how many of something were done, such as "chunks"."""
    begun = runtime.now()
    with ExitStack() as stack:
        show: Show | None = None
        due = begun + SILENT_SECONDS

        def told(done: int, total: int | None = None) -> None:
            nonlocal show, due
            if show is None and runtime.now() < due:
                return
            if sys.stderr is None or sys.stderr.closed:
                return
            if sys.stderr.isatty():
                show = show or stack.enter_context(_bar(unit))
                show(done, total)
            elif runtime.now() >= due:
                due = runtime.now() + LINE_SECONDS
                rate = done / max(runtime.now() - begun, 1e-9)
                click.echo(f"{done}{'' if total is None else f'/{total}'} {unit}  {rate:,.0f}/s", err=True)

        yield told


def shown(items: Iterable[T], unit: str) -> Iterator[T]:
    """Yield the items, and show how many there were."""
    with showing(unit) as show:
        for number, item in enumerate(items, 1):
            yield item
            show(number)


@contextmanager
def _bar(unit: str) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task("", total=None)

        def show(done: int, total: int | None = None) -> None:
            bar.update(row, completed=done, total=total)

        yield show
