"""Rows of files as values and keys of records: nothing is sent otherwise than it is in the file. No I/O."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

Format: TypeAlias = Literal["json", "csv", "msgpack"]
"""What the values of the records are."""
FORMATS: Final[tuple[Format, ...]] = ("json", "csv", "msgpack")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
"""A number as JSON writes it."""
_MORE: Final = re.compile(r"-?[0.]*[1-9]")
"""The beginning of a number that is not zero."""
_MARK: Final = "\ufeff"
"""At the beginning of a message it is taken for a byte order mark, unless a quote is before it."""
_LINE_END: Final = "\r\n"


class Row(NamedTuple):
    """One row of a file."""

    fields: dict[str, Any]
    line: bytes | None = None
    """As it is in the file, where that is JSON."""


class Text(str):
    """A field of a CSV file, or a number of JSON with its digits."""

    __slots__ = ()

    @property
    def is_number(self) -> bool:
        """Whether it is written as JSON writes numbers."""
        return _NUMBER.fullmatch(self) is not None


def encoded(row: Row, form: Format) -> bytes:
    """Return a row as the value of a record; raises ``ValueError`` and others where `form` cannot hold it.

    Examples
    --------
    >>> row = Row({"price": Text("1.10"), "note": Text(""), "high": math.inf, "low": math.nan})
    >>> encoded(row, "json"), encoded(row, "csv")
    (b'{"price":1.10,"note":null,"high":"Infinity","low":"NaN"}', b'1.10,,inf,nan')
    """
    return _ENCODERS[form](row)


def key_of(value: Any) -> bytes | None:
    """Return the key that a value of a row makes; raises ``ValueError`` if it makes none.

    >>> key_of("EUR"), key_of(b"EUR"), key_of(7), key_of(None)
    (b'EUR', b'EUR', b'7', None)
    """
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, dict | list):
        raise ValueError("an object or an array is no key")
    return str(value).encode()


def _as_json(row: Row) -> bytes:
    """Return an object; numbers have the digits that they have in the file."""
    if row.line is not None:
        return row.line
    return msgspec.json.encode({name: _json_value(value) for name, value in row.fields.items()})


def _as_msgpack(row: Row) -> bytes:
    return msgspec.msgpack.encode({name: _plain(value) for name, value in row.fields.items()})


def _as_line(row: Row) -> bytes:
    """Return the fields as our decoder reads them again."""
    fields = [_field(value) for value in row.fields.values()]
    marked = bool(fields) and str(fields[0]).startswith(_MARK)
    out = io.StringIO()
    # Some versions of Python quote no line breaks but those that end their lines.
    csv.writer(
        out, lineterminator=_LINE_END, quoting=csv.QUOTE_ALL if marked else csv.QUOTE_MINIMAL
    ).writerow(fields)
    return out.getvalue().removesuffix(_LINE_END).encode()


_ENCODERS: Final[dict[Format, Callable[[Row], bytes]]] = {
    "json": _as_json,
    "msgpack": _as_msgpack,
    "csv": _as_line,
}


def _json_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _json_value(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Text):
        return msgspec.Raw(value.encode()) if value.is_number else str(value) or None
    return _text(value) if isinstance(value, bytes) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Text):
        return _number(value) if value.is_number else str(value) or None
    return value


def _number(text: Text) -> int | float:
    """Return an integer, or the nearest float; raises ``ValueError`` where none is near."""
    number: int | float = json.loads(text)
    if isinstance(number, float) and (math.isinf(number) or (not number and _MORE.match(text))):
        raise ValueError(f"got the number {text[:40]}, expected one that a float of 64 bits holds")
    return -0.0 if not number and text.startswith("-") else number  # no integer has its sign


def _field(value: Any) -> Any:
    if isinstance(value, dict | list):
        raise ValueError("a field is no object and no array")
    return "" if value is None else _text(value) if isinstance(value, bytes) else value


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ValueError("bytes that are no text; msgpack holds them") from None
