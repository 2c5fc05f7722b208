"""Stores: bytes by key, with conditional put. Start at :mod:`streamzarr.stores.base`.

=================  =======================================================================
``base``           the contract, :class:`Store`
``key``, ``url``   what names a value; what names a store
``memory``         a dict
``local``          files (``directories``: where they lie; ``replace``: how one is replaced)
``zip``            an archive, read (``zip_directory``: what is in it; ``zip_builder``: made)
``s3``             objects of a bucket (``s3_client``, ``_retry``; short: ``_direct``, ``_wire``, ``_sign``)
``ranges``         many byte ranges in few requests
``readonly``       a store without its writing side
``probe``          does conditional put really work?
``registry``       which class serves which URL
=================  =======================================================================
"""

from streamzarr.stores.base import (
    ByteRange,
    BytesLike,
    Capabilities,
    DirListing,
    ObjectInfo,
    RangeRequest,
    Store,
    StoredObject,
    SuffixRequest,
    resolve_range,
)
from streamzarr.stores.key import check_key, check_prefix
from streamzarr.stores.local import LocalStore
from streamzarr.stores.memory import MemoryStore
from streamzarr.stores.probe import probe_conditional_put
from streamzarr.stores.readonly import ReadOnlyStore
from streamzarr.stores.registry import StoreLike, known_schemes, open_store, register_store
from streamzarr.stores.url import StoreURL, is_below, join_url, overlaps, split_url
from streamzarr.stores.zip import ZipStore
from streamzarr.stores.zip_builder import ZipBuilder

__all__ = [
    "ByteRange",
    "BytesLike",
    "Capabilities",
    "DirListing",
    "LocalStore",
    "MemoryStore",
    "ObjectInfo",
    "RangeRequest",
    "ReadOnlyStore",
    "Store",
    "StoreLike",
    "StoreURL",
    "StoredObject",
    "SuffixRequest",
    "ZipBuilder",
    "ZipStore",
    "check_key",
    "check_prefix",
    "is_below",
    "join_url",
    "known_schemes",
    "open_store",
    "overlaps",
    "probe_conditional_put",
    "register_store",
    "resolve_range",
    "split_url",
]
