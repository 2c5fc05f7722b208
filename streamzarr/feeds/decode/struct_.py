"""Packed structs: each message is one record or several of a fixed size, as numpy's structured dtypes are."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.assemble import assemble
from streamzarr.feeds.decode.base import Decoded, TooMuchError
from streamzarr.feeds.decode.convert import Conversion
from streamzarr.feeds.decode.paths import Path
from streamzarr.feeds.decode.texts import Texts
from streamzarr.feeds.decode.values import Given, LocalTimes, Values
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.queue.packed import Packed

_SURROGATE: Final = 0xD800
"""What is no character by itself, and no text has; the first of 2048."""


class StructDecoder:
    """Decodes packed structs. Owned by one thread.

    Parameters
    ----------
    columns
        By name; their paths lead through the fields of `dtype`.
    dtype
        What ``numpy.dtype`` takes, or a list of names and dtypes. None: the columns in their order, packed
        and little-endian.
    limits
        Bounds of a message.

    Examples
    --------
    >>> columns = {"n": ColumnSpec("n", "i8"), "bid": ColumnSpec("bid", "f4")}
    >>> decode = StructDecoder(columns, dtype=[["n", "<u2"], ["bid", "<f4"]])
    >>> rows = decode([bytes([1, 0, 0, 0, 128, 63]), b"12", bytes(12)])
    >>> rows.columns["n"], rows.origin
    (array([1, 0, 0]), array([0, 2, 2]))
    >>> rows.bad
    {1: 'struct: got 2 bytes, expected a multiple of 6 (n, bid)'}
    """

    def __init__(
        self, columns: Mapping[str, ColumnSpec], *, dtype: Any = None, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._dtype = _struct(columns) if dtype is None else _as_dtype(dtype)
        self._conversions = {name: Conversion(spec) for name, spec in columns.items()}
        self._paths = {name: Path.of(spec.path) for name, spec in columns.items()}
        self._most = min(limits.max_message_bytes, limits.max_message_records * self._dtype.itemsize)
        self._row_bytes = sum(spec.dtype.itemsize for spec in columns.values())
        empty = np.zeros((0, 1), self._dtype)
        for name, path in self._paths.items():
            _field(empty, path, name)

    packed = True

    def __call__(self, values: Sequence[bytes | None]) -> Decoded:
        """Return the rows of `values`."""
        size, origin = self._dtype.itemsize, None
        if isinstance(values, Packed):
            length, count = values.lengths[0], len(values)
            if values.lengths.count(length) == count and 0 < length <= self._most and not length % size:
                each = length // size
                TooMuchError.check(count * each * self._row_bytes, count)
                rows = np.ndarray((count, each), self._dtype, values.data, strides=(length + 1, size))
                origin = None if each == 1 else np.repeat(np.arange(count), each)
                return assemble(self._conversions, self._found(rows), origin, {}, count)
            values = values.unpacked()
        bad: dict[int, str] = {}
        lengths = _lengths(values)
        if not (lengths == size).all():
            good = (lengths > 0) & (lengths % size == 0) & (lengths <= self._most)
            bad = {index: self._fault(values[index]) for index in np.flatnonzero(~good).tolist()}
            origin = np.repeat(np.arange(len(values)), np.where(good, lengths // size, 0))
            values = [value for index, value in enumerate(values) if index not in bad] if bad else values
        count = len(values) if origin is None else len(origin)
        TooMuchError.check(count * self._row_bytes, len(lengths))
        rows = np.frombuffer(b"".join(values), self._dtype)  # type: ignore[arg-type]
        messages = len(rows) if origin is None else len(values)
        return assemble(self._conversions, self._found(rows[:, None]), origin, bad, messages)

    def _found(self, rows: NDArray[Any]) -> list[Values]:
        """Return what the records have for each column."""
        return [
            Values(_plain(_field(rows, path, name).reshape(-1), self._conversions[name]))
            for name, path in self._paths.items()
        ]

    def _fault(self, value: bytes | None) -> str:
        """Return why a message has no records."""
        if value is None:
            return "struct: no value"
        if not value or len(value) % self._dtype.itemsize:
            names = ", ".join(self._dtype.names or ())
            return f"struct: got {len(value)} bytes, expected a multiple of {self._dtype.itemsize} ({names})"
        return f"struct: got {len(value)} bytes, expected {self._most} at most"


def _lengths(values: Sequence[bytes | None]) -> NDArray[np.intp]:
    """Return the bytes of each message; 0 where there is no value."""
    try:
        return np.fromiter(map(len, values), np.intp, len(values))  # type: ignore[arg-type]
    except TypeError:
        return np.fromiter((len(value or b"") for value in values), np.intp, len(values))


def _as_dtype(given: Any) -> np.dtype[Any]:
    if isinstance(given, Mapping):
        given = list(given.items())
    try:
        dtype: np.dtype[Any] = np.dtype(given if isinstance(given, np.dtype | str) else _as_fields(given))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"struct: dtype is {given!r}, which numpy does not take: {error}") from error
    if dtype.names is None or dtype.hasobject or not dtype.itemsize:
        raise ConfigError(f"struct: dtype is {dtype}, expected fields of a fixed size by name")
    return dtype


def _as_fields(given: Any) -> list[tuple[Any, ...]]:
    """Return fields as numpy takes them; JSON and TOML have lists of name, dtype and perhaps a shape."""
    fields = []
    for name, dtype, *shape in given:
        inner = _as_fields(dtype) if isinstance(dtype, list) else dtype
        fields.append((name, inner, *map(_as_shape, shape)))
    return fields


def _as_shape(shape: Any) -> Any:
    return tuple(shape) if isinstance(shape, list) else shape


def _struct(columns: Mapping[str, ColumnSpec]) -> np.dtype[Any]:
    for name, spec in columns.items():
        if spec.dtype.kind in "TO":
            raise ConfigError(
                f"struct: column {name!r} has no fixed size; state dtype, the layout of a record"
            )
    return _as_dtype([(spec.path, spec.dtype.newbyteorder("<")) for spec in columns.values()])


def _field(rows: NDArray[Any], path: Path, column: str) -> NDArray[Any]:
    """Return the values of one field, or of one element of it; `rows` are messages by rows of a message."""
    for step in path.steps:
        if rows.dtype.names is not None and step in rows.dtype.names:
            rows = rows[step]
        elif rows.ndim > 2 and step.isdecimal() and int(step) < rows.shape[2]:
            rows = rows[:, :, int(step)]
        else:
            has = ", ".join(rows.dtype.names or ()) or f"shape {rows.shape[2:]} and {rows.dtype}"
            raise ConfigError(f"struct: column {column!r}: no {step!r} in what has {has}")
    if rows.ndim > 2 or rows.dtype.names is not None or rows.dtype.kind == "V":
        raise ConfigError(f"struct: column {column!r}: got {rows.shape[2:]} {rows.dtype}, expected one value")
    return rows


def _plain(values: NDArray[Any], conversion: Conversion) -> Given | LocalTimes:
    """Return values in the machine's own byte order; texts in bytes, unless the column wants them so."""
    if values.dtype.kind == "S" and conversion.kind.dtype.kind != "S":
        return Texts.of_fixed(values)
    own = values.astype(values.dtype.newbyteorder("="), copy=False)
    if own.dtype.kind == "U" and own.itemsize:
        return _checked(own)
    return LocalTimes(own) if own.dtype.kind == "M" else own


def _checked(texts: NDArray[Any]) -> Given:
    """Return texts; where some are none, as any bytes can be, as objects, which are looked at one by one."""
    codes = np.ascontiguousarray(texts).view(np.uint32).reshape(-1, texts.itemsize // 4)
    beyond = codes > sys.maxunicode
    if not (beyond | (codes >> 11 == _SURROGATE >> 11)).any():
        return texts
    return np.where(beyond, np.uint32(_SURROGATE), codes).view(texts.dtype).reshape(-1).tolist()
