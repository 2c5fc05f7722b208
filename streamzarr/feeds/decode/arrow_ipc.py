"""Arrow: each message is an IPC stream of record batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

from streamzarr.errors import ConfigError, message_of, name_of
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.arrow_bulk import Bulk, has_views, is_nested, is_plain, views_bytes
from streamzarr.feeds.decode.arrow_metadata import has_compressed_buffers
from streamzarr.feeds.decode.arrow_values import column_of
from streamzarr.feeds.decode.assemble import assemble
from streamzarr.feeds.decode.base import Decoded, TooMuchError
from streamzarr.feeds.decode.convert import Conversion
from streamzarr.feeds.decode.kinds.base import MAX_SHOWN
from streamzarr.feeds.decode.objects import MAX_REASON, Malformed
from streamzarr.feeds.decode.paths import Path
from streamzarr.feeds.decode.values import Values
from streamzarr.limits import DEFAULT_LIMITS, Limits

MUCH: Final = 16
"""Times the bytes of the largest message: what a column of one may become, where values are shared."""


class ArrowDecoder:
    """Decodes Arrow IPC streams. Owned by one thread.

    Buffers that are compressed one by one are bad: what they grow to is stated by whoever sent them. Compress
    the message instead.

    Parameters
    ----------
    columns
        By name; paths lead through structs.
    limits
        Bounds of a message.
    """

    def __init__(self, columns: Mapping[str, ColumnSpec], *, limits: Limits = DEFAULT_LIMITS) -> None:
        try:
            import pyarrow.ipc  # noqa: F401
        except ImportError as error:
            raise ConfigError("decode: format 'arrow' needs the package pyarrow") from error
        self._conversions = {name: Conversion(spec) for name, spec in columns.items()}
        self._paths = {name: Path.of(spec.path) for name, spec in columns.items()}
        self._limits, self._most = limits, MUCH * limits.max_message_bytes
        self._row_bytes = sum(each.kind.dtype.itemsize for each in self._conversions.values())
        self._last: tuple[Any, _Look] | None = None

    def __call__(self, values: Sequence[bytes | None]) -> Decoded:
        """Return the rows of `values`."""
        bad: dict[int, str] = {}
        tables: dict[int, Any] = {}
        total = 0
        for index, value in enumerate(values):
            try:
                table = self._read(value)
                total += self._bulk(table) + table.num_rows * self._row_bytes
                tables[index] = table
            except _failures() as error:
                bad[index] = _reason(error)
        TooMuchError.check(total, len(values))
        found = self._found(tables, bad)
        counts = np.zeros(len(values), np.intp)
        for index, table in tables.items():
            counts[index] = table.num_rows
        origin = np.repeat(np.arange(len(values)), counts)
        return assemble(self._conversions, found, origin, bad, len(values))

    def _found(self, tables: dict[int, Any], bad: dict[int, str]) -> list[Values]:
        """Return the values of all columns; a message of which pyarrow cannot make them is bad."""
        with suppress(*_failures()):
            return self._together(list(tables.values()))
        for index, table in list(tables.items()):
            try:
                self._together([table])
            except _failures() as error:
                bad[index] = _reason(error)
                del tables[index]
        try:
            return self._together(list(tables.values()))
        except _failures() as error:
            raise TooMuchError(f"{len(tables)} messages are none: {error}") from error

    def _together(self, tables: Sequence[Any]) -> list[Values]:
        return [column_of([_column(each, path) for each in tables]) for path in self._paths.values()]

    def _read(self, value: bytes | None) -> Any:
        """Return the table of a message, whose every offset and text was checked."""
        import pyarrow as pa
        import pyarrow.ipc

        if value is None:
            raise Malformed("no value")
        if len(value) > self._limits.max_message_bytes:
            raise Malformed(f"got {len(value)} bytes, expected {self._limits.max_message_bytes} at most")
        source = pa.BufferReader(value)
        for message in pa.ipc.MessageReader.open_stream(source):
            if has_compressed_buffers(message.metadata.to_pybytes()):
                raise Malformed("got buffers that are compressed, expected plain ones; compress the message")
        if source.tell() < len(value):
            raise Malformed(f"got {len(value) - source.tell()} bytes behind the end of the stream")
        batches, rows, shown = [], 0, 0
        with pa.ipc.open_stream(pa.BufferReader(value)) as reader:
            schema = reader.schema
            for batch in reader:
                rows += batch.num_rows
                if rows > self._limits.max_message_records:
                    raise Malformed(f"got more than {self._limits.max_message_records} rows")
                shown += self._checked(batch, shown)
                batches.append(batch)
        if schema is None:
            raise Malformed("no schema")
        return pa.Table.from_batches(batches, schema)

    def _checked(self, batch: Any, before: int) -> int:
        """Check every offset and text; return the bytes that its views show, which are read one by one."""
        batch.validate()
        shown = sum(map(views_bytes, batch.columns)) if self._look(batch.schema).views else 0
        if before + shown > self._most:
            raise Malformed(f"got views of {before + shown} bytes, expected {self._most} at most")
        batch.validate(full=True)
        return shown

    def _bulk(self, table: Any) -> int:
        """Return the bytes that shared values become; raise where a column cannot be had, or is too much."""
        look, nbytes = self._look(table.schema), 0
        if look.fault is not None:
            raise Malformed(look.fault)
        for path in look.shared:
            chunks = _column(table, path).chunks
            if any(map(is_nested, chunks)):
                raise Malformed(f"got {_cut(chunks[0].type)} in {'.'.join(path.steps)}, expected one value")
            bulk = Bulk(chunks)
            if bulk.nbytes > self._most:
                raise Malformed(f"got {bulk}")
            nbytes += bulk.nbytes
        return nbytes

    def _look(self, schema: Any) -> _Look:
        """Return what there is to look at; most messages are by the schema of the one before."""
        if self._last is None or not schema.equals(self._last[0]):
            self._last = (schema, _Look.of(schema, list(self._paths.values())))
        return self._last[1]


@dataclass(frozen=True, slots=True)
class _Look:
    """What of a schema is looked at before it is made anything of."""

    fault: str | None
    """Why a column cannot be had."""
    views: bool
    """Somewhere there are views."""
    shared: tuple[Path, ...]
    """Where values are shared, or lists and structs."""

    @classmethod
    def of(cls, schema: Any, paths: Sequence[Path]) -> _Look:
        views = any(has_views(field.type) for field in schema)
        try:
            kinds = {path: _kind_at(schema, path) for path in paths}
        except Malformed as fault:
            return cls(str(fault), views, ())
        return cls(None, views, tuple(path for path, kind in kinds.items() if not is_plain(kind)))


def _kind_at(schema: Any, path: Path) -> Any:
    """Return the type at a path, None where there is none; raise where it leads through what is no struct."""
    import pyarrow as pa

    kind: Any = schema
    for depth, step in enumerate(path.steps):
        if kind is None:
            return None
        if depth and not pa.types.is_struct(kind):
            raise Malformed(f"got {_cut(kind)} on the way to {'.'.join(path.steps)}, expected a struct")
        places = kind.get_all_field_indices(step)
        if len(places) > 1:
            raise Malformed(f"got {len(places)} fields called {step!r}")
        kind = kind.field(step).type if places else None
    return kind


def _cut(kind: Any) -> str:
    """Return a type as it is told: one of a thousand fields is not."""
    told = str(kind)
    return told if len(told) <= 2 * MAX_SHOWN else f"{told[: 2 * MAX_SHOWN]}…"


def _column(table: Any, path: Path) -> Any:
    """Return the chunked array at a path; null where there is none."""
    import pyarrow as pa

    nulls = pa.chunked_array([pa.nulls(table.num_rows)])
    first, *rest = path.steps
    if first not in table.schema.names:
        return nulls
    array = table.column(first)
    for step in rest:
        if array.type.get_field_index(step) < 0:
            return nulls
        array = _within(array, step)
    return array


def _within(array: Any, step: str) -> Any:
    """Return a field of structs, null where the struct is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type.field(step).type
    if not (pa.types.is_union(kind) or pa.types.is_run_end_encoded(kind)):
        return pc.struct_field(array, step)
    chunks = []  # these have no place for nulls, and pyarrow does not look
    for chunk in array.chunks:
        rows = pa.array(np.arange(len(chunk)), mask=chunk.is_null().to_numpy(zero_copy_only=False))
        chunks.append(pa.DictionaryArray.from_arrays(rows, chunk.field(step)))
    return pa.chunked_array(chunks, pa.dictionary(pa.int64(), kind))


@cache
def _failures() -> tuple[type[Exception], ...]:
    """Return what is raised for a message that is bad."""
    import pyarrow as pa

    return (Malformed, pa.ArrowException, OSError, ValueError, OverflowError, RecursionError, MemoryError)


def _reason(error: Exception) -> str:
    return f"arrow: {' '.join(message_of(error, MAX_REASON).split()) or name_of(error)}"
