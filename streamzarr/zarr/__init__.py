"""Zarr v2 and v3: arrays and groups on numpy, numcodecs and a :class:`~streamzarr.stores.Store`.

====================  ======================================================================
``api``               open and create
``array``, ``group``  what these return
``indexing``          from a selection to parts of chunks
``chunkio``           chunks in the store: keys, bytes, codecs, fill values
``grid``, ``keys``    how an array is cut, and what its pieces are called
``codecs``            the steps between array and bytes
``dtypes``            data types and fill values
``metadata``          the documents, as values
``nodes``             reading and changing them in the store
``creation``          zeros, ones, full, from_array
``hierarchy``         create at once, consolidate, copy, save and load
``cache``             decoded chunks, kept for reads to come
``convert``           between v2 and v3
``stream``            chunk by chunk, in bounded memory
``map_chunks``        a function on every chunk, on threads or in processes
``settings``          of the process
``locks``             of chunks, among threads
====================  ======================================================================
"""

from streamzarr.zarr import codecs, locks
from streamzarr.zarr.api import Mode, create_array, create_group, open, open_array, open_group  # noqa: A004
from streamzarr.zarr.array import Array
from streamzarr.zarr.chunks.cache import CacheStats, ChunkCache
from streamzarr.zarr.codecs import list as codec_names
from streamzarr.zarr.codecs import register as register_codec
from streamzarr.zarr.convert import convert, explain_conversion
from streamzarr.zarr.creation import (
    empty,
    empty_like,
    from_array,
    full,
    full_like,
    ones,
    ones_like,
    open_like,
    zeros,
    zeros_like,
)
from streamzarr.zarr.grids import keys as chunk_keys
from streamzarr.zarr.grids.grid import Grid, RegularChunks
from streamzarr.zarr.grids.keys import ChunkKeys, DefaultKeys, V2Keys
from streamzarr.zarr.grids.rectilinear import RectilinearChunks
from streamzarr.zarr.group import Group
from streamzarr.zarr.metadata import (
    ArrayMetadata,
    ArrayMetadataV2,
    ArrayMetadataV3,
    GroupMetadata,
    GroupMetadataV2,
    GroupMetadataV3,
)
from streamzarr.zarr.nodes.attributes import Attributes
from streamzarr.zarr.nodes.hierarchy import (
    consolidate_metadata,
    copy,
    create_hierarchy,
    load,
    load_array,
    open_consolidated,
    save,
    save_array,
    save_group,
)
from streamzarr.zarr.nodes.tree import Tree
from streamzarr.zarr.settings import Config, config
from streamzarr.zarr.streaming.map_chunks import ChunkMap, ChunkResult
from streamzarr.zarr.streaming.stream import ChunkBlock, ChunkStream

__all__ = [
    "Array",
    "ArrayMetadata",
    "ArrayMetadataV2",
    "ArrayMetadataV3",
    "Attributes",
    "CacheStats",
    "ChunkBlock",
    "ChunkCache",
    "ChunkKeys",
    "ChunkMap",
    "ChunkResult",
    "ChunkStream",
    "Config",
    "DefaultKeys",
    "Grid",
    "Group",
    "GroupMetadata",
    "GroupMetadataV2",
    "GroupMetadataV3",
    "Mode",
    "RectilinearChunks",
    "RegularChunks",
    "Tree",
    "V2Keys",
    "chunk_keys",
    "codec_names",
    "codecs",
    "config",
    "consolidate_metadata",
    "convert",
    "copy",
    "create_array",
    "create_group",
    "create_hierarchy",
    "empty",
    "empty_like",
    "explain_conversion",
    "from_array",
    "full",
    "full_like",
    "load",
    "load_array",
    "locks",
    "ones",
    "ones_like",
    "open",
    "open_array",
    "open_consolidated",
    "open_group",
    "open_like",
    "register_codec",
    "save",
    "save_array",
    "save_group",
    "zeros",
    "zeros_like",
]
