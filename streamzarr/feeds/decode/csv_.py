"""CSV: one line a message, or several."""

from __future__ import annotations

import csv
import importlib.util
import io
import itertools
import re
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.arrow_values import values_of
from streamzarr.feeds.decode.assemble import Origin, assemble
from streamzarr.feeds.decode.base import OBJECT_BYTES, Decoded, TooMuchError
from streamzarr.feeds.decode.convert import Conversion
from streamzarr.feeds.decode.kinds import Kind
from streamzarr.feeds.decode.kinds.numbers import Floats, Integers
from streamzarr.feeds.decode.kinds.strings import Blobs, FixedStrings, Strings
from streamzarr.feeds.decode.layout import Unknown
from streamzarr.feeds.decode.texts import Texts
from streamzarr.feeds.decode.values import Values
from streamzarr.feeds.long_fields import allow_long_fields
from streamzarr.limits import DEFAULT_LIMITS, Limits

MAX_BATCH = 1 << 30
"""Bytes of a batch that pyarrow parses."""


class CsvDecoder:
    """Decodes lines of CSV (RFC 4180). Owned by one thread.

    An empty field is no value, but for columns of texts, where it is an empty text. A byte order mark at the
    beginning of a message is no part of it.

    Parameters
    ----------
    columns
        By name; a path is the name of a field, or its position.
    names
        Of the fields of a line, in order: a list, or the line that is the header of a file. None: those of
        the columns.
    delimiter
        Between fields.
    unknown
        ``"error"``: a line with more fields than `names` is bad; else they are ignored.
    arrow
        Let pyarrow parse, where it is installed. The result is the same.
    limits
        Bounds of a message.

    Examples
    --------
    >>> decode = CsvDecoder({"bid": ColumnSpec("bid", "f8")}, names="time,bid,ask")
    >>> rows = decode([b"1,1.5,2", b"2,1.25,2", b"3,,2", b"4"])
    >>> rows.columns["bid"], rows.bad
    (array([1.5 , 1.25]), {2: "column 'bid': no value", 3: "column 'bid': no value"})
    """

    def __init__(
        self,
        columns: Mapping[str, ColumnSpec],
        *,
        names: Sequence[str] | str | None = None,
        delimiter: str = ",",
        unknown: Unknown = "ignore",
        arrow: bool = True,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        if (
            not isinstance(delimiter, str)
            or len(delimiter) != 1
            or delimiter in '"\r\n'
            or ord(delimiter) > 127
        ):
            raise ConfigError(f"csv: delimiter is {delimiter!r}, expected one character")
        self._delimiter, self._unknown, self._limits = delimiter, unknown, limits
        allow_long_fields(limits.max_message_bytes)
        self._conversions = {name: Conversion(spec) for name, spec in columns.items()}
        paths = {name: spec.path for name, spec in columns.items()}
        if isinstance(names, str):
            names = next(csv.reader([names], delimiter=delimiter))
        self._names = list(paths.values()) if names is None else list(names)
        self._at = [_position(path, self._names, name) for name, path in paths.items()]
        self._uses_arrow = arrow and bool(columns) and importlib.util.find_spec("pyarrow") is not None

    def __call__(self, values: Sequence[bytes | None]) -> Decoded:
        """Return the rows of `values`."""
        plain = self._plain(values)
        if (
            plain is not None
            and self._uses_arrow
            and (found := self._by_arrow(plain, len(values))) is not None
        ):
            return assemble(self._conversions, found, None, {}, len(values))
        rows, origin, bad = self._rows(values, plain)
        texts = list(itertools.zip_longest(*rows)) if rows else []
        width = len(texts)
        found = [
            self._present(list(texts[at]) if at < width else [None] * len(rows), conversion.kind)
            for at, conversion in zip(self._at, self._conversions.values(), strict=True)
        ]
        return assemble(self._conversions, found, origin, bad, len(values))

    @staticmethod
    def _present(texts: list[str | None], kind: Kind) -> Values:
        if not isinstance(kind, _TEXTS):
            texts = [text or None for text in texts]
        return Values.of(texts)

    def _plain(self, values: Sequence[bytes | None]) -> bytes | None:
        """Return all messages as lines, if it is certain that each is one."""
        if None in values or max(map(len, values), default=0) > self._limits.max_message_bytes:  # type: ignore[arg-type]
            return None
        data = b"\n".join(values)  # type: ignore[arg-type]
        return data if _is_plain(data, len(values)) else None

    # ------------------------------------------------------------ one by one

    def _rows(
        self, values: Sequence[bytes | None], plain: bytes | None
    ) -> tuple[list[list[str]], Origin | None, dict[int, str]]:
        if plain is not None and (lines := self._plain_rows(plain, len(values))) is not None:
            return lines, None, {}
        rows: list[list[str]] = []
        counts = np.zeros(len(values), np.intp)
        bad = {}
        for index, value in enumerate(values):
            found = self._lines(value)
            if isinstance(found, str):
                bad[index] = f"csv: {found}"
                continue
            rows += found
            TooMuchError.check(len(rows) * len(self._names) * OBJECT_BYTES, len(values))
            counts[index] = len(found)
        return rows, np.repeat(np.arange(len(values)), counts), bad

    def _plain_rows(self, data: bytes, messages: int) -> list[list[str]] | None:
        """Return the fields of each message."""
        try:
            rows = list(csv.reader(data.decode().split("\n"), delimiter=self._delimiter, strict=True))
        except csv.Error:
            return None
        fields = len(self._names)
        lengths = set(map(len, rows))
        if len(rows) != messages or 0 in lengths or (self._unknown == "error" and max(lengths) > fields):
            return None
        return rows if max(lengths) <= fields else [row[:fields] for row in rows]

    def _lines(self, value: bytes | None) -> list[list[str]] | str:
        """Return the lines of a message, or the reason why it has none."""
        if value is None:
            return "no value"
        if len(value) > self._limits.max_message_bytes:
            return f"got {len(value)} bytes, expected {self._limits.max_message_bytes} at most"
        try:
            text = io.StringIO(value.removeprefix(BOM_UTF8).decode(), newline="")
            most, fields = self._limits.max_message_records, len(self._names)
            found: list[list[str]] = []
            for row in csv.reader(text, delimiter=self._delimiter, strict=True):
                if self._unknown == "error" and len(row) > fields:
                    return f"got {len(row)} fields in a line, expected {fields}"
                if len(found) == most:
                    return f"got more than {most} lines"
                if row:
                    found.append(row[:fields])
        except (csv.Error, UnicodeDecodeError) as error:
            return str(error)
        return found or "got no line"

    # ------------------------------------------------------------ all together

    def _by_arrow(self, data: bytes, messages: int) -> list[Values] | None:
        """Return the columns, or None where pyarrow may understand them otherwise."""
        import pyarrow as pa
        import pyarrow.csv

        if b"0x" in data or b"0X" in data:  # it takes hexadecimals
            return None
        if b"(" in data and _NAN_OF.search(data):
            return None
        kinds = [conversion.kind for conversion in self._conversions.values()]
        names = [str(at) for at in range(len(self._names))]
        try:
            table = pa.csv.read_csv(
                pa.BufferReader(data),
                read_options=pa.csv.ReadOptions(
                    use_threads=False, block_size=len(data) + 1, column_names=names
                ),
                parse_options=pa.csv.ParseOptions(
                    delimiter=self._delimiter, quote_char=False, ignore_empty_lines=False
                ),
                convert_options=pa.csv.ConvertOptions(
                    column_types={
                        str(at): _arrow_type(kind) for at, kind in zip(self._at, kinds, strict=True)
                    },
                    include_columns=sorted({str(at) for at in self._at}),
                    null_values=[""],
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowException:
            return None
        if table.num_rows != messages:
            return None
        found: list[Values] = []
        for at, kind in zip(self._at, kinds, strict=True):
            each = values_of(table.column(str(at)).combine_chunks())
            if (
                isinstance(each.data, np.ndarray)
                and each.data.dtype.kind == "f"
                and np.isinf(each.data).any()
            ):
                return None  # perhaps of a number that is too great
            if not isinstance(kind, _TEXTS) and isinstance(each.data, Texts):
                empty = each.data.lengths == 0
                each = Values(each.data, empty if empty.any() else None)
            found.append(each)
        return found


_NAN_OF = re.compile(rb"nan\(", re.IGNORECASE)
"""As C writes them with what they carry; pyarrow takes them, and nothing else does."""
_TEXTS = (Strings, FixedStrings, Blobs)


def _is_plain(data: bytes, messages: int) -> bool:
    """Tell whether each message is one line, in which pyarrow sees what Python's own reader does."""
    return (
        0 < len(data) <= MAX_BATCH
        and data.count(b"\n") == messages - 1
        and not any(mark in data for mark in (b'"', b"\r", b"\0"))
        and not (data.startswith(b"\n") or b"\n\n" in data or data.endswith(b"\n"))  # an empty one has no row
        and _is_text(data)
    )


def _is_text(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        return bool(data.decode()) and BOM_UTF8 not in data  # which pyarrow takes off the first message
    except UnicodeDecodeError:
        return False


def _arrow_type(kind: Kind) -> Any:
    import pyarrow as pa

    if isinstance(kind, Floats):
        return pa.float64()
    if isinstance(kind, Integers):
        return pa.uint64() if kind.dtype == np.uint64 else pa.int64()
    return pa.string()


def _position(path: str, names: Sequence[str], column: str) -> int:
    if path in names:
        return names.index(path)
    if path.isdecimal() and int(path) < len(names):
        return int(path)
    raise ConfigError(f"csv: column {column!r}: no field {path!r} among {', '.join(names)}")
