"""What a reader holds of a stream: the root of one commit, and the arrays by which its rows are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from streamzarr.errors import KeyNotFoundError, NodeNotFoundError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores import Store, join_url
from streamzarr.stream.document import SHARDS, RootDocument
from streamzarr.stream.reads import Reads, reads_of
from streamzarr.stream.root import fetch_root
from streamzarr.stream.schema import chunk_rows_of
from streamzarr.zarr.array import Array
from streamzarr.zarr.chunks.cache import ChunkCache
from streamzarr.zarr.chunks.chunkio import Missing
from streamzarr.zarr.metadata.v3 import ZARR_JSON
from streamzarr.zarr.nodes.paths import key_below

CACHE_BYTES: Final = 64 << 20
"""Memory for the decoded chunks of a stream, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a field up to `stop`, which are all read in one way."""

    stop: int
    array: Array
    missing: Missing
    """Whether a chunk that is not stored is as it should be."""


@dataclass(frozen=True, slots=True)
class View:
    """A stream as one commit left it. Immutable, thread-safe, picklable; reading blocks on the store.

    Chunks that are full never change, so `sealed` keeps them for every view of the stream. The chunk that is
    not full has grown wherever there are more rows: `tail` keeps it, and is this view's own.
    """

    store: Store
    path: str
    document: RootDocument
    etag: str
    limits: Limits = field(default=DEFAULT_LIMITS, repr=False)
    sealed: ChunkCache = field(default_factory=lambda: ChunkCache(CACHE_BYTES), repr=False, compare=False)
    tail: ChunkCache = field(default_factory=lambda: ChunkCache(CACHE_BYTES), repr=False, compare=False)

    @property
    def url(self) -> str:
        """The URL of the stream's group."""
        return join_url(self.store.url, self.path)

    @property
    def reads(self) -> Reads:
        """The reads by all views of the stream that share `sealed`."""
        return reads_of(self.sealed, self.url)

    def renewed(self) -> View:
        """Return the stream as it is now, in one request; this one if there was no commit.

        Raises
        ------
        streamzarr.errors.NodeNotFoundError
            The stream is gone, or another one was made in its place.
        """
        key = key_below(self.path, ZARR_JSON)
        try:
            stored = self.store.fetch_changed(key, self.etag, self.limits.max_metadata_bytes)
        except KeyNotFoundError:
            stored, document = None, None
        else:
            if stored is None:
                return self
            document = RootDocument.parse(stored.data, join_url(self.store.url, key), self.limits)
        if document is None or stored is None:
            raise NodeNotFoundError(f"no stream at {self.url} any more")
        if document.record.stream != self.document.record.stream:
            raise NodeNotFoundError(f"{self.url}: another stream was made in place of this one; open it anew")
        return View(self.store, self.path, document, stored.etag, self.limits, self.sealed)

    def array(self, name: str, cache: ChunkCache | None = None) -> Array:
        """Return the array of a field, which has as many rows as the stream."""
        metadata = self.document.fields.get(name)
        if metadata is None:
            raise NodeNotFoundError(f"{self.url}: no field {name!r}, there are {[*self.document.fields]}")
        return Array(
            self.store, key_below(self.path, name), metadata, limits=self.limits, cache=cache or self.sealed
        )

    def pieces(self, name: str) -> Sequence[Piece]:
        """Return how the rows of a field are read, in order.

        A writer stores every chunk, whatever it holds. One that is missing is as it should be only where all
        of its rows came before the field did.
        """
        record, small = self.document.record, self.array(name)
        length, since = chunk_rows_of(self.document.fields[name]), record.since.get(name, 0)
        full, new = record.rows // length * length, since >= record.rows
        pieces = (
            Piece(full if new else since // length * length, small, "fill"),
            Piece(full, small, "error"),
            # The last chunk of a new field may be stored already, with what is not committed yet.
            Piece(record.rows, self.array(name, self.tail), "fill" if new else "error"),
        )
        shards = self.document.shards.get(name)
        if shards is None:
            return pieces
        path = key_below(key_below(self.path, SHARDS), name)
        array = Array(self.store, path, shards, limits=self.limits, cache=self.sealed)
        return Piece(record.sealed[name], array, "error"), *pieces

    def lost(self, row: int, error: KeyNotFoundError) -> KeyNotFoundError:
        """Return the error for a chunk at or behind `row` that is missing, though it was committed."""
        document, _ = fetch_root(self.store, self.path, self.limits)
        first = 0 if document is None else document.record.first_row
        if first <= row:
            return error
        return KeyNotFoundError(
            f"{self.url}: row {row} is asked for, but rows before {first} were given up since this snapshot "
            "was taken; refresh() it"
        )


def open_view(store: Store, path: str, limits: Limits, sealed: ChunkCache | None = None) -> View:
    """Return the stream at `path` as it is now; raises as :func:`streamzarr.open_stream`."""
    document, stored = fetch_root(store, path, limits)
    if document is None or stored is None:
        raise NodeNotFoundError(f"no stream at {join_url(store.url, path)}")
    view = View(store, path, document, stored.etag, limits, sealed or ChunkCache(CACHE_BYTES))
    reads = view.reads
    if reads.stream not in (None, document.record.stream):
        view.sealed.invalidate(view.url)  # of a stream that was there before
    reads.stream = document.record.stream
    return view
