"""Arrow: each message is an IPC stream of record batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamzarr.errors import ConfigError, message_of
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.arrow_values import values_of
from streamzarr.feeds.decode.assemble import assemble
from streamzarr.feeds.decode.base import Decoded
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

    def __call__(self, values: Sequence[bytes | None]) -> Decoded:
        """Return the rows of `values`."""
        import pyarrow as pa

        bad: dict[int, str] = {}
        counts = np.zeros(len(values), np.intp)
        parts: list[list[Any]] = []
        for index, value in enumerate(values):
            try:
                table = self._read(value)
                parts.append([self._column(table, path) for path in self._paths.values()])
                counts[index] = table.num_rows
            except (Malformed, pa.ArrowException, OSError, ValueError, RecursionError, MemoryError) as error:
                bad[index] = f"arrow: {' '.join(message_of(error, MAX_REASON).split())}"
        origin = np.repeat(np.arange(len(values)), counts)
        found = [_together([part[at] for part in parts]) for at in range(len(self._paths))]
        return assemble(self._conversions, found, origin, bad, len(values))

    def _read(self, value: bytes | None) -> Any:
        """Return the table of a message, whose every offset and text was checked."""
        import pyarrow as pa
        import pyarrow.ipc

        if value is None:
            raise Malformed("no value")
        if len(value) > self._limits.max_message_bytes:
            raise Malformed(f"got {len(value)} bytes, expected {self._limits.max_message_bytes} at most")
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

    def _column(self, table: Any, path: Path) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        first, *rest = path.steps
        if table.schema.get_field_index(first) < 0:
            return pa.nulls(table.num_rows)
        array = table.column(first).combine_chunks()
        for step in rest:
            if not pa.types.is_struct(array.type):
                raise Malformed(f"got {array.type} on the way to {'.'.join(path.steps)}, expected a struct")
            if array.type.get_field_index(step) < 0:
                return pa.nulls(table.num_rows)
            array = pc.struct_field(array, step)
        return self._plain(array)

    def _plain(self, array: Any) -> Any:
        """Return an array with its dictionary put in, unless that would make much of little."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not pa.types.is_dictionary(array.type):
            return array
        words = array.dictionary
        if pa.types.is_string(words.type) or pa.types.is_large_string(words.type):
            longest = pc.max(pc.binary_length(words)).as_py() or 0
            if longest * len(array) > 16 * self._limits.max_message_bytes:
                raise Malformed(f"got {len(array)} texts of up to {longest} bytes by a dictionary")
        return array.dictionary_decode()


def _together(arrays: Sequence[Any]) -> Values:
    """Return the values of several messages, by whole arrays where all are of one type."""
    import pyarrow as pa

    if not arrays:
        return Values([])
    if all(array.type == arrays[0].type for array in arrays):
        return values_of(pa.concat_arrays(arrays))
    objects: list[Any] = []
    for array in arrays:
        each = values_of(array)
        objects += [each.item(row) for row in range(len(each))]
    return Values.of(objects)
