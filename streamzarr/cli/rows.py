"""Rows of streams, printed: a line each for people, or a JSON document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from streamzarr.cli.output import print_line

if TYPE_CHECKING:
    from streamzarr.stream import Rows

READ_AT_ONCE: Final = 1000
"""Rows in memory at a time."""


def print_rows(rows: Rows, fields: tuple[str, ...], as_json: bool, *, partition: str = "") -> None:
    """Print rows, with these fields, or all; and the partition that they are of, if there is one."""
    for start in range(rows.start, rows.stop, READ_AT_ONCE):
        some = rows.between(start, start + READ_AT_ONCE)
        columns = some.to_numpy(fields or None)
        for offset in range(len(some)):
            number = start + offset
            values = {name: column[offset] for name, column in columns.items()}
            if as_json:
                where = {"partition": partition} if partition else {}
                plain = {name: _plain(each) for name, each in values.items()}
                click.echo(json.dumps({**where, "row": number, **plain}))
            else:
                print_line(
                    "  ".join(
                        [
                            f"{partition} {number}".lstrip(),
                            *(f"{name}={text_of(each)}" for name, each in values.items()),
                        ]
                    )
                )


def text_of(value: Any) -> str:
    """Return a value for people: arrays by their shape."""
    if getattr(value, "ndim", 0):
        return f"{value.shape} {value.dtype}"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {each}" for name, each in value.items())
    return "none" if value is None else str(value)


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it; what it has no number for is a text, as in Zarr's metadata."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return [_plain(each) for each in value]
    if isinstance(value, np.datetime64 | np.timedelta64 | np.complexfloating):
        return str(value)
    if isinstance(value, np.void):
        if value.dtype.names is None:
            return value.tobytes().hex()
        return {name: _plain(value[name]) for name in value.dtype.names}
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, bytes):
        return plain.decode("utf-8", "backslashreplace")
    if isinstance(plain, float) and not np.isfinite(plain):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(plain)]
    return plain
