"""Records of files: a line of CSV, a row of Parquet, a line of JSON. One piece is in memory at a time."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from streamzarr.errors import ConfigError
from streamzarr.feeds.long_fields import allow_long_fields
from streamzarr.feeds.produce.encode import Format, Row, Text, encoded, key_of
from streamzarr.feeds.produce.moments import Moments
from streamzarr.feeds.produce.parquet import parquet_rows
from streamzarr.feeds.produce.piece import AT_ONCE, Piece
from streamzarr.limits import DEFAULT_LIMITS


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
        rows = parquet_rows(path)
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
    values = []
    for number, row in enumerate(rows, done):
        try:
            values.append(encoded(row, form))
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise ConfigError(f"{path}: record {number}: {form} cannot hold it: {error}") from error
    keys = None if key is None else _keys(_column(rows, key, path), path, done)
    return Piece(values, keys, times)


def _keys(found: Sequence[Any], path: Path, done: int) -> list[bytes | None]:
    keys = []
    for number, value in enumerate(found, done):
        try:
            keys.append(key_of(value))
        except ValueError as error:
            raise ConfigError(f"{path}: record {number}: {error}") from error
    return keys


def _column(rows: Sequence[Row], name: str, path: Path) -> list[Any]:
    try:
        return [row.fields[name] for row in rows]
    except KeyError:
        raise ConfigError(f"{path}: no column {name!r}, but {', '.join(map(str, rows[0].fields))}") from None


def _open(path: Path) -> io.TextIOWrapper:
    raw: Any = gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115 - closed with it
    return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")  # spreadsheets begin with a mark


def _csv_rows(path: Path, names: Sequence[str] | None) -> Iterator[Row]:
    allow_long_fields(DEFAULT_LIMITS.max_message_bytes)
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
                yield Row(dict(zip(header, map(Text, line), strict=True)))
        except csv.Error as error:
            raise ConfigError(f"{path}: line {lines.line_num}: {error}") from error


def _json_rows(path: Path) -> Iterator[Row]:
    with _open(path) as file:
        for number, line in enumerate(file):
            if not line.strip():
                continue
            try:
                row = json.loads(line, parse_float=Text, parse_int=_integer)
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"{path}: line {number + 1}: {error}") from error
            if not isinstance(row, dict):
                raise ConfigError(f"{path}: line {number + 1}: expected an object")
            yield Row(row, line.strip().encode())


def _integer(text: str) -> int | float:
    return -0.0 if text == "-0" else int(text)  # no integer has its sign
