"""Rows of a Parquet file; times are texts with all their digits, durations numbers of their unit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streamzarr.errors import ConfigError
from streamzarr.feeds.produce.encode import Row
from streamzarr.feeds.produce.piece import AT_ONCE


def parquet_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file.

    Raises
    ------
    streamzarr.errors.ConfigError
        It is none, or has two columns of one name.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ConfigError(f"{path}: needs the package pyarrow: pip install 'streamzarr[arrow]'") from error
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise ConfigError(f"{path}: column {twice!r} is there twice")
            for batch in file.iter_batches(batch_size=AT_ONCE):
                yield from map(Row, _told(batch).to_pylist())
    except pa.ArrowException as error:
        raise ConfigError(f"{path}: {error}") from error


def _told(batch: Any) -> Any:
    import pyarrow as pa

    kinds = map(_kind, batch.schema.types)
    columns = [
        column if kind == column.type else column.cast(kind)
        for column, kind in zip(batch.columns, kinds, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _kind(kind: Any) -> Any:
    """Return the type that values of one are told as, within others, too."""
    import pyarrow as pa

    if pa.types.is_duration(kind):
        return pa.int64()
    if pa.types.is_temporal(kind):
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_kind(field.type)) for field in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = _kind(kind.value_type)
        return kind if inner == kind.value_type else pa.list_(inner)
    if pa.types.is_map(kind):
        return pa.map_(_kind(kind.key_type), _kind(kind.item_type))
    return kind
