"""How an array is stored, as tasks say it."""

from __future__ import annotations

from typing import Literal

import msgspec

from streamzarr.jobs.wire import Layout
from streamzarr.zarr import Array


def layout_of(array: Array) -> Layout:
    """Return how `array` is stored, as its tasks will say it."""
    document = array.metadata.to_json()
    keys = (
        ("codecs",) if array.zarr_format == 3 else ("filters", "compressor", "order", "dimension_separator")
    )
    codecs = {key: document.get(key) for key in keys}
    zarr_format: Literal[2, 3] = 3 if array.zarr_format == 3 else 2
    return Layout(
        shape=tuple(array.shape),
        chunks=tuple(array.shards or array.chunks),
        dtype=array.dtype.str,
        zarr_format=zarr_format,
        codecs=msgspec.Raw(msgspec.json.encode(codecs, order="sorted")),
    )
