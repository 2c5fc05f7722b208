"""Records of files: a line of CSV, a row of Parquet, a line of JSON. One piece is in memory at a time."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from streamzarr.errors import ConfigError
from streamzarr.feeds.produce.moments import Moments
from streamzarr.feeds.produce.piece import AT_ONCE, Piece

Format: TypeAlias = Literal["json", "csv", "msgpack"]
"""What the values of the records are."""
FORMATS: Final[tuple[Format, ...]] = ("json", "csv", "msgpack")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
"""A number as JSON writes it."""


class Row(NamedTuple):
    """One row of a file."""

    fields: dict[str, Any]
    line: bytes | None = None
    """As it is in the file, where that is JSON."""


def read_file(
    path: Path,
    *,
    format: Format = "json",  # noqa: A002
    names: Sequence[str] | None = None,
    key: str | None = None,
    moments: Moments | None = None,
) -> Iterator[Piece]:
    """Yield the records of a file, each of its rows as one.

    Parameters
    ----------
    path
        ``.csv``, ``.jsonl`` or ``.ndjson``, each also with ``.gz``, or ``.parquet``.
    format
        ``json``: an object with a field for each column; ``msgpack``: the same; ``csv``: the line as it is.
    names
        Of the columns of a CSV file that has no header.
    key
        Column whose values are the records' keys.
    moments
        Column that says when each record was.

    Raises
    ------
    streamzarr.errors.ConfigError
        The file is of no such kind, lacks a column, or has a row that is none.
    """
    kind = path.suffixes[-2] if path.suffix == ".gz" and len(path.suffixes) > 1 else path.suffix
    if kind == ".csv":
        rows = _csv_rows(path, names)
    elif kind in (".jsonl", ".ndjson", ".json"):
        rows = _json_rows(path)
    elif kind == ".parquet":
        rows = _parquet_rows(path)
    else:
        raise ConfigError(f"{path}: expected .csv, .jsonl, .ndjson (each also .gz) or .parquet")
    done = 0
    try:
        while some := list(islice(rows, AT_ONCE)):
            yield _piece(some, path, done, format, key, moments)
            done += len(some)
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeError) as error:
        raise ConfigError(f"{path}: damaged, {done} records were read: {error}") from error


def _piece(
    rows: Sequence[Row], path: Path, done: int, form: Format, key: str | None, moments: Moments | None
) -> Piece:
    times = None
    if moments is not None:
        times = moments.of(_column(rows, moments.column, path), str(path), done)
    keys = None if key is None else [_key(each) for each in _column(rows, key, path)]
    values = []
    for number, row in enumerate(rows, done):
        try:
            values.append(_ENCODERS[form](row))
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise ConfigError(f"{path}: record {number}: {form} cannot hold it: {error}") from error
    return Piece(values, keys, times)


def _column(rows: Sequence[Row], name: str, path: Path) -> list[Any]:
    try:
        return [row.fields[name] for row in rows]
    except KeyError:
        raise ConfigError(f"{path}: no column {name!r}, but {', '.join(map(str, rows[0].fields))}") from None


def _key(value: Any) -> bytes | None:
    return None if value is None else str(value).encode()


def _as_json(row: Row) -> bytes:
    """Return an object; numbers have the digits that they have in the file."""
    if row.line is not None:
        return row.line
    fields = {
        name: msgspec.Raw(value.encode()) if isinstance(value, _Text) and value.is_number else _plain(value)
        for name, value in row.fields.items()
    }
    return msgspec.json.encode(fields)


def _as_msgpack(row: Row) -> bytes:
    return msgspec.msgpack.encode({name: _plain(value) for name, value in row.fields.items()})


def _as_line(row: Row) -> bytes:
    out = io.StringIO()
    values = ("" if each is None else each for each in row.fields.values())
    csv.writer(out, lineterminator="").writerow(values)
    return out.getvalue().encode()


_ENCODERS: Final[dict[Format, Callable[[Row], bytes]]] = {
    "json": _as_json,
    "msgpack": _as_msgpack,
    "csv": _as_line,
}


def _plain(value: Any) -> Any:
    if not isinstance(value, _Text):
        return value
    if value.is_number:
        return json.loads(value)
    return str(value) or None


class _Text(str):
    """A field of a CSV file."""

    __slots__ = ()

    @property
    def is_number(self) -> bool:
        """Whether it is written as JSON writes numbers."""
        return _NUMBER.fullmatch(self) is not None


def _open(path: Path) -> io.TextIOWrapper:
    raw: Any = gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115 - closed with it
    return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")  # spreadsheets begin with a mark


def _csv_rows(path: Path, names: Sequence[str] | None) -> Iterator[Row]:
    with _open(path) as file:
        lines = csv.reader(file, strict=True)
        try:
            header = list(names) if names is not None else next(lines, [])
            if twice := next((name for name in header if header.count(name) > 1), None):
                raise ConfigError(f"{path}: column {twice!r} is there twice, give other names")
            for number, line in enumerate(filter(None, lines)):
                if len(line) != len(header):
                    raise ConfigError(
                        f"{path}: record {number}: got {len(line)} fields, expected {len(header)}: "
                        f"{', '.join(header)}"
                    )
                yield Row(dict(zip(header, map(_Text, line), strict=True)))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: line {lines.line_num}: {error}") from error


def _json_rows(path: Path) -> Iterator[Row]:
    with _open(path) as file:
        for number, line in enumerate(file):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"{path}: line {number + 1}: {error}") from error
            if not isinstance(row, dict):
                raise ConfigError(f"{path}: line {number + 1}: expected an object")
            yield Row(row, line.strip().encode())


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ConfigError(f"{path}: needs the package pyarrow: pip install 'streamzarr[arrow]'") from error
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=AT_ONCE):
                yield from map(Row, _with_texts(batch).to_pylist())
    except pa.ArrowException as error:
        raise ConfigError(f"{path}: {error}") from error


def _with_texts(batch: Any) -> Any:
    """Return a batch whose times are texts with all their digits."""
    import pyarrow as pa

    is_time = [pa.types.is_temporal(each) and not pa.types.is_duration(each) for each in batch.schema.types]
    columns = [
        column.cast(pa.string()) if time else column
        for column, time in zip(batch.columns, is_time, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
