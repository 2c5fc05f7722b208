"""Arrow: each message is an IPC stream of record batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamzarr.errors import ConfigError, message_of, name_of
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.arrow_metadata import has_compressed_buffers
from streamzarr.feeds.decode.arrow_values import values_of
from streamzarr.feeds.decode.assemble import assemble
from streamzarr.feeds.decode.base import Decoded, TooMuchError
from streamzarr.feeds.decode.convert import Conversion
from streamzarr.feeds.decode.objects import MAX_REASON, Malformed
from streamzarr.feeds.decode.paths import Path
from streamzarr.feeds.decode.values import Values
from streamzarr.limits import DEFAULT_LIMITS, Limits


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
        self._limits = limits
        self._row_bytes = sum(each.kind.dtype.itemsize for each in self._conversions.values())

    def __call__(self, values: Sequence[bytes | None]) -> Decoded:
        """Return the rows of `values`."""
        import pyarrow as pa

        bad: dict[int, str] = {}
        counts = np.zeros(len(values), np.intp)
        tables: dict[int, Any] = {}
        for index, value in enumerate(values):
            try:
                tables[index] = self._read(value)
            except (Malformed, pa.ArrowException, OSError, ValueError, RecursionError, MemoryError) as error:
                bad[index] = _reason(error)
        for index, why in self._unlike(tables).items():
            bad[index] = why
            del tables[index]
        for index, table in tables.items():
            counts[index] = table.num_rows
        TooMuchError.check(int(counts.sum()) * self._row_bytes, len(values))
        origin = np.repeat(np.arange(len(values)), counts)
        found = [self._values(list(tables.values()), path) for path in self._paths.values()]
        return assemble(self._conversions, found, origin, bad, len(values))

    def _unlike(self, tables: Mapping[int, Any]) -> dict[int, str]:
        """Return the messages whose columns cannot be had, and why."""
        bad = {}
        for index, table in tables.items():
            for path in self._paths.values():
                if (why := self._fault(table, path)) is not None:
                    bad[index] = f"arrow: {why}"
                    break
        return bad

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
        batches, rows = [], 0
        with pa.ipc.open_stream(pa.BufferReader(value)) as reader:
            schema = reader.schema
            for batch in reader:
                rows += batch.num_rows
                if rows > self._limits.max_message_records:
                    raise Malformed(f"got more than {self._limits.max_message_records} rows")
                batch.validate(full=True)
                batches.append(batch)
        if schema is None:
            raise Malformed("no schema")
        return pa.Table.from_batches(batches, schema)

    def _fault(self, table: Any, path: Path) -> str | None:
        """Return why a table has no such column; one that is absent is all null."""
        import pyarrow as pa

        kind: Any = table.schema
        for depth, step in enumerate(path.steps):
            if kind is None:
                return None
            if depth and not pa.types.is_struct(kind):
                return f"got {kind} on the way to {'.'.join(path.steps)}, expected a struct"
            places = kind.get_all_field_indices(step)
            if len(places) > 1:
                return f"got {len(places)} fields called {step!r}"
            kind = kind.field(step).type if places else None
        if kind is None or not pa.types.is_dictionary(kind):
            return None
        return self._bulk(_column(table, path))

    def _bulk(self, array: Any) -> str | None:
        """Return why a dictionary is not put in: it would make much of little."""
        import pyarrow as pa
        import pyarrow.compute as pc

        longest = 0
        for chunk in array.chunks:
            words = chunk.dictionary
            if pa.types.is_string(words.type) or pa.types.is_large_string(words.type):
                longest = max(longest, pc.max(pc.binary_length(words)).as_py() or 0)
        if longest * len(array) <= 16 * self._limits.max_message_bytes:
            return None
        return f"got {len(array)} texts of up to {longest} bytes by a dictionary"

    @staticmethod
    def _values(tables: Sequence[Any], path: Path) -> Values:
        """Return a column of several tables, by whole arrays where all are of one type."""
        import pyarrow as pa

        columns = [_column(table, path) for table in tables]
        kinds = {column.type for column in columns}
        if len(kinds) == 1 and not pa.types.is_dictionary(columns[0].type):
            chunks = [chunk for column in columns for chunk in column.chunks]
            return values_of(pa.concat_arrays(chunks) if chunks else pa.array([], columns[0].type))
        objects: list[Any] = []
        for column in columns:
            for chunk in column.chunks:
                plain = values_of(chunk.dictionary_decode() if pa.types.is_dictionary(chunk.type) else chunk)
                objects += [plain.item(row) for row in range(len(plain))]
        return Values.of(objects)


def _column(table: Any, path: Path) -> Any:
    """Return the chunked array at a path; null where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    nulls = pa.chunked_array([pa.nulls(table.num_rows)])
    first, *rest = path.steps
    if first not in table.schema.names:
        return nulls
    array = table.column(first)
    for step in rest:
        if array.type.get_field_index(step) < 0:
            return nulls
        array = pc.struct_field(array, step)
    return array


def _reason(error: Exception) -> str:
    return f"arrow: {' '.join(message_of(error, MAX_REASON).split()) or name_of(error)}"
