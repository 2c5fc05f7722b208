"""A stream as it was at one commit: immutable, and cheap to renew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from streamzarr.errors import NodeNotFoundError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores import Store, StoreLike, join_url, open_store
from streamzarr.stream.document import RootDocument
from streamzarr.stream.record import CommitRecord, Position
from streamzarr.stream.root import fetch_root
from streamzarr.zarr.array import Array
from streamzarr.zarr.metadata.v3 import ZARR_JSON
from streamzarr.zarr.nodes.paths import key_below, normalize_path


def open_stream(store: StoreLike, path: str = "", *, limits: Limits = DEFAULT_LIMITS) -> Snapshot:
    """Return the stream at `path` as it is now; one request, and nothing is listed.

    Raises
    ------
    streamzarr.errors.NodeNotFoundError
        There is no stream.
    streamzarr.errors.MetadataError
        Its root is not valid.

    Examples
    --------
    >>> import streamzarr as sz
    >>> with sz.StreamWriter("memory://log", schema={"value": "i4"}) as writer:
    ...     writer.append({"value": [1, 2, 3]})
    >>> snapshot = open_stream("memory://log")
    >>> snapshot.rows, snapshot["value"][-2:]
    (3, array([2, 3], dtype=int32))
    """
    return _read(open_store(store, mode="r"), normalize_path(path), limits)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rows of a stream that one commit had made visible. Immutable; any thread may use it; it pickles.

    Reading a field reads its chunks, as they are asked for. What a commit made visible never changes, so an
    old snapshot stays right while the stream grows; rows that retention has removed read as the fill value.
    """

    store: Store
    path: str
    document: RootDocument
    etag: str
    limits: Limits = field(default=DEFAULT_LIMITS, repr=False)

    @property
    def url(self) -> str:
        """The URL of the stream's group."""
        return join_url(self.store.url, self.path)

    @property
    def record(self) -> CommitRecord:
        """The commit record: epoch, number and time of the commit."""
        return self.document.record

    @property
    def rows(self) -> int:
        """Number of rows, those that were given up at the front included."""
        return self.record.rows

    @property
    def first_row(self) -> int:
        """The first row that is still there."""
        return self.record.first_row

    @property
    def position(self) -> Position | None:
        """Where the source is to be read for the next row."""
        return self.record.position

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields."""
        return tuple(self.document.fields)

    def __getitem__(self, name: str) -> Array:
        """Return a field as an array of :attr:`rows` rows, which reads when it is indexed.

        Raises
        ------
        KeyError
            There is no such field.
        """
        array = self.document.fields.get(name)
        if array is None:
            raise NodeNotFoundError(f"{self.url}: no field {name!r}, there are {[*self.names]}")
        return Array(self.store, key_below(self.path, name), array, limits=self.limits)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return self.rows

    def refresh(self) -> Snapshot:
        """Return the stream as it is now: this one if there was no commit, which one small request tells."""
        if self.store.head(key_below(self.path, ZARR_JSON)).etag == self.etag:
            return self
        return _read(self.store, self.path, self.limits)


def _read(store: Store, path: str, limits: Limits) -> Snapshot:
    document, stored = fetch_root(store, path, limits)
    if document is None or stored is None:
        raise NodeNotFoundError(f"no stream at {join_url(store.url, path)}")
    return Snapshot(store, path, document, stored.etag, limits)
