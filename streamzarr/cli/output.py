"""What commands print: tables for people, JSON for scripts."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

PIPE_WIDTH = 1 << 14
"""Lines in a pipe are not wrapped: their reader is a program, or scrolls."""


def print_json(value: Any) -> None:
    """Print `value` as one JSON document; dataclasses are objects, bytes are text."""
    click.echo(json.dumps(value, default=_plain, indent=2 if sys.stdout.isatty() else None))


def print_list(values: Iterable[Any]) -> None:
    """Print values as one JSON array, each as it comes: none but one is in memory."""
    indent = 2 if sys.stdout.isatty() else None
    mark = "["
    for value in values:
        click.echo(mark + json.dumps(value, default=_plain, indent=indent), nl=False)
        mark = ", "
    click.echo("[]" if mark == "[" else "]")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str) -> None:
    """Print rows under column names, numbers to the right; or the line `empty` when there are none.

    A column called ``message`` takes what room the others leave, and as many lines as it needs.
    """
    if not rows:
        click.echo(empty)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for position, name in enumerate(columns):
        numbers = all(isinstance(row[position], int | float) for row in rows)
        table.add_column(
            name, justify="right" if numbers else "left", no_wrap=name != "message", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)


def print_line(line: str) -> None:
    """Print a line, its control characters escaped."""
    click.echo(printable(line))


def print_facts(facts: Sequence[tuple[str, Any]]) -> None:
    """Print names and values, one pair a line."""
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        print_line(f"{name:<{width}}  {value}")


def printable(text: str) -> str:
    r"""Return `text` with control characters escaped: what comes from a topic must not drive a terminal.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(number: int, what: str) -> str:
    """Return a number of things in words.

    >>> counted(1, "dead letter"), counted(3, "dead letter")
    ('1 dead letter', '3 dead letters')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"


def size(nbytes: float) -> str:
    """Return a number of bytes in words, in powers of 1000.

    >>> size(215_654_400), size(12)
    ('215.7 MB', '12 B')
    """
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if nbytes < 1000 or unit == "TB":
            break
        nbytes /= 1000
    return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"


def duration(seconds: float) -> str:
    """Return a time span in words.

    >>> duration(3.21), duration(75), duration(8000), duration(200000)
    ('3.2 s', '1 min 15 s', '2 h 13 min', '2 d 7 h')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def age(seconds: float) -> str:
    """Return how long ago something was, in one unit.

    >>> age(-0.1), age(75), age(8000), age(200_000)
    ('0 s', '1 min', '2 h', '2 d')
    """
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if hasattr(value, "item"):
        return value.item()  # numpy scalars
    return str(value)
