"""Chunk jobs and live feeds through Kafka into Zarr, under backpressure, nothing lost.

The top level is a thin, lazy namespace (PEP 562): ``import streamzarr as sz`` costs next to nothing, and each
name loads its layer when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from streamzarr import (
        data,
        errors,
        feeds,
        flow,
        interop,
        jobs,
        limits,
        pipeline,
        queue,
        stores,
        stream,
        testing,
        zarr,
    )
    from streamzarr.feed_fleet import FeedFleet
    from streamzarr.fleet import Fleet
    from streamzarr.flow import Demand, LagDemand
    from streamzarr.jobs import transform
    from streamzarr.limits import Limits
    from streamzarr.pipeline import Batcher, Pipeline, Processors, TopicSource
    from streamzarr.queue import open_broker
    from streamzarr.stores import open_store
    from streamzarr.stream import StreamWriter, open_stream
    from streamzarr.zarr import (
        Array,
        ChunkCache,
        Group,
        chunk_keys,
        codecs,
        config,
        consolidate_metadata,
        convert,
        copy,
        create_array,
        create_group,
        create_hierarchy,
        empty,
        explain_conversion,
        from_array,
        full,
        load,
        load_array,
        locks,
        ones,
        open,  # noqa: A004
        open_array,
        open_group,
        save,
        save_array,
        save_group,
        zeros,
    )

_HOMES = {
    "Array": "zarr",
    "Batcher": "pipeline",
    "ChunkCache": "zarr",
    "Demand": "flow",
    "FeedFleet": "feed_fleet",
    "Fleet": "fleet",
    "Group": "zarr",
    "LagDemand": "flow",
    "Limits": "limits",
    "Pipeline": "pipeline",
    "Processors": "pipeline",
    "StreamWriter": "stream",
    "TopicSource": "pipeline",
    "chunk_keys": "zarr",
    "codecs": "zarr",
    "config": "zarr",
    "consolidate_metadata": "zarr",
    "convert": "zarr",
    "copy": "zarr",
    "create_array": "zarr",
    "create_group": "zarr",
    "create_hierarchy": "zarr",
    "empty": "zarr",
    "explain_conversion": "zarr",
    "from_array": "zarr",
    "full": "zarr",
    "load": "zarr",
    "load_array": "zarr",
    "locks": "zarr",
    "ones": "zarr",
    "open": "zarr",
    "open_array": "zarr",
    "open_broker": "queue",
    "open_group": "zarr",
    "open_store": "stores",
    "open_stream": "stream",
    "save": "zarr",
    "save_array": "zarr",
    "save_group": "zarr",
    "transform": "jobs",
    "zeros": "zarr",
}
_LAYERS = (
    "data",
    "errors",
    "feeds",
    "flow",
    "interop",
    "jobs",
    "limits",
    "pipeline",
    "queue",
    "stores",
    "stream",
    "testing",
    "zarr",
)

__all__ = [
    "Array",
    "Batcher",
    "ChunkCache",
    "Demand",
    "FeedFleet",
    "Fleet",
    "Group",
    "LagDemand",
    "Limits",
    "Pipeline",
    "Processors",
    "StreamWriter",
    "TopicSource",
    "__version__",
    "chunk_keys",
    "codecs",
    "config",
    "consolidate_metadata",
    "convert",
    "copy",
    "create_array",
    "create_group",
    "create_hierarchy",
    "data",
    "empty",
    "errors",
    "explain_conversion",
    "feeds",
    "flow",
    "from_array",
    "full",
    "interop",
    "jobs",
    "limits",
    "load",
    "load_array",
    "locks",
    "ones",
    "open",
    "open_array",
    "open_broker",
    "open_group",
    "open_store",
    "open_stream",
    "pipeline",
    "queue",
    "save",
    "save_array",
    "save_group",
    "stores",
    "stream",
    "testing",
    "transform",
    "zarr",
    "zeros",
]


def __getattr__(name: str) -> object:
    if name in _LAYERS:
        return importlib.import_module(f"streamzarr.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"streamzarr.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'streamzarr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
