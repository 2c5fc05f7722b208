"""How far a command is: a bar in a terminal, lines in a pipe, and nothing where it takes no time."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
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
    """Yield what shows on standard error how many of something were done, such as "chunks".

    Where nobody can read it, or no longer, it shows nothing, and the work goes on.
    """
    begun = runtime.now()
    due, is_read = begun + SILENT_SECONDS, sys.stderr is not None and not sys.stderr.closed
    bar: Show | None = None
    with ExitStack() as stack:

        def show(done: int, total: int | None = None) -> None:
            nonlocal due, is_read, bar
            if not is_read or (bar is None and runtime.now() < due):
                return
            try:
                if sys.stderr.isatty():
                    bar = bar or stack.enter_context(_bar(unit))
                    bar(done, total)
                else:
                    due = runtime.now() + LINE_SECONDS
                    rate = done / max(runtime.now() - begun, 1e-9)
                    of = "" if total is None else f"/{total}"
                    click.echo(f"{done}{of} {unit}  {rate:,.0f}/s", err=True)
            except (OSError, ValueError):
                is_read = False

        yield show


def counted_by(show: Show, items: Iterable[T]) -> Iterator[T]:
    """Yield the items, and show how many there were."""
    for number, item in enumerate(items, 1):
        yield item
        show(number)


@contextmanager
def _bar(unit: str) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn())
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
    row = bar.add_task("", total=None)

    def show(done: int, total: int | None = None) -> None:
        bar.update(row, completed=done, total=total)

    bar.start()
    try:
        yield show
    finally:
        with suppress(OSError, ValueError):  # the terminal has gone: the work was done all the same
            bar.stop()
