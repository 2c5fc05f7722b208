"""The documents of the fields themselves, which follow the root: for readers that open a field directly.

They are written after the commit, so what they say was committed before: they may lag, and never lead. That
holds for a fenced writer, too, so no check of the root is needed here.
"""

from __future__ import annotations

from typing import Any

from streamzarr.errors import KeyNotFoundError, MetadataError, PreconditionFailedError, StoreError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores import Store
from streamzarr.stream import failpoints
from streamzarr.stream.chunks import puts_in_flight
from streamzarr.stream.document import RootDocument
from streamzarr.stream.failpoints import Failpoint
from streamzarr.zarr.chunks import parallel
from streamzarr.zarr.metadata.document import dump_document, parse_document
from streamzarr.zarr.metadata.v3 import ZARR_JSON
from streamzarr.zarr.nodes.paths import key_below

TRIES = 8
"""Puts of one document; each one that is refused met another writer's, which is as good unless it lags."""


class Children:
    """The documents of a stream's fields. Owned by the writer's thread; blocks on the store."""

    def __init__(self, store: Store, path: str, limits: Limits = DEFAULT_LIMITS) -> None:
        self._store, self._path, self._limits = store, path, limits
        self._known: dict[str, tuple[str, dict[str, Any]]] = {}
        """Etag and content of each document as last seen."""

    def follow(self, root: RootDocument) -> None:
        """Let each document say at least as many rows as `root`, which is committed.

        Raises
        ------
        streamzarr.errors.StoreError
            The store failed. The commit stands; call it again.
        """
        threads = min(puts_in_flight(self._store, len(root.fields)), len(root.fields))
        parallel.for_each(lambda name: self._follow(name, root), root.fields, threads)

    def follow_to(self, root: RootDocument, name: str, rows: int) -> None:
        """Let the document of the array at `name`, of which `root` has `rows` rows, say as many."""
        self._put(name, root, rows)

    def _follow(self, name: str, root: RootDocument) -> None:
        self._put(name, root, root.record.rows)
        failpoints.reach(Failpoint.BETWEEN_CHILDREN)

    def _put(self, name: str, root: RootDocument, rows: int) -> None:
        key = key_below(key_below(self._path, name), ZARR_JSON)
        wanted = root.child(name)
        for _ in range(TRIES):
            known = self._known.get(name)
            if known is None:
                known = self._read(name, key)
            if known is not None and known[1]["shape"][0] >= rows:
                return
            document = wanted if known is None else known[1] | {"shape": wanted["shape"]}
            data = dump_document(document, f"{self._store.url}: {key}", indent=None)
            try:
                etag = self._store.put(key, data, if_match=known and known[0], if_none_match=known is None)
            except PreconditionFailedError:
                self._known.pop(name, None)
            except StoreError:
                self._known.pop(name, None)  # it may be written, now or later
                raise
            else:
                self._known[name] = etag, document
                return
        raise StoreError(f"{self._store.url}: key {key!r} was replaced {TRIES} times while we put it")

    def _read(self, name: str, key: str) -> tuple[str, dict[str, Any]] | None:
        try:
            stored = self._store.fetch_limited(key, self._limits.max_metadata_bytes)
        except KeyNotFoundError:
            return None
        where = f"{self._store.url}: {key}"
        document = parse_document(stored.data, where, self._limits)
        shape = document.get("shape")
        if not isinstance(shape, list) or not shape or not isinstance(shape[0], int):
            raise MetadataError(f"{where}: shape is {shape!r}, expected that of the field {name!r}")
        self._known[name] = stored.etag, document
        return stored.etag, document
