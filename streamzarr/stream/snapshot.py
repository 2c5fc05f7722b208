"""A stream as it was at one commit: immutable, and cheap to renew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.stores import StoreLike, open_store
from streamzarr.stream.document import RootDocument
from streamzarr.stream.follow import Follow
from streamzarr.stream.record import CommitRecord, Position
from streamzarr.stream.rows import Rows
from streamzarr.stream.view import CACHE_BYTES, View, open_view
from streamzarr.zarr.chunks.cache import CacheLike, as_cache
from streamzarr.zarr.nodes.paths import normalize_path


def open_stream(
    store: StoreLike, path: str = "", *, cache: CacheLike = CACHE_BYTES, limits: Limits = DEFAULT_LIMITS
) -> Snapshot:
    """Return the stream at `path` as it is now; one request, and nothing is listed.

    Parameters
    ----------
    cache
        Where chunks that are full are kept, decoded: a :class:`~streamzarr.zarr.ChunkCache`, which other
        streams may share, or the bytes of a new one.

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
    return snapshot_of(open_view(open_store(store, mode="r"), normalize_path(path), limits, as_cache(cache)))


@dataclass(frozen=True, slots=True)
class Snapshot(Rows):
    """The rows of a stream that one commit had made visible. Immutable; any thread may use it; it pickles.

    What a commit made visible never changes, so an old snapshot stays right while the stream grows. Rows that
    retention removes later raise when they are read, and never read as the fill value; a field that came
    later reads as its fill value before. Index 0 of a field is row :attr:`first_row`.
    """

    @property
    def document(self) -> RootDocument:
        """The root of the stream's group."""
        return self.view.document

    @property
    def record(self) -> CommitRecord:
        """The commit record: epoch, number and time of the commit."""
        return self.view.document.record

    @property
    def rows(self) -> int:
        """Number of rows, those that were given up at the front included."""
        return self.stop

    @property
    def first_row(self) -> int:
        """The first row that is still there."""
        return self.start

    @property
    def position(self) -> Position | None:
        """Where the source is to be read for the next row."""
        return self.record.position

    def refresh(self) -> Snapshot:
        """Return the stream as it is now: this one if there was no commit, which one small request tells.

        Raises
        ------
        streamzarr.errors.NodeNotFoundError
            The stream is gone, or another one was made in its place.
        """
        now = self.view.renewed()
        return self if now is self.view else snapshot_of(now)

    def follow(
        self,
        start: int | Mapping[str, Any] | None = None,
        *,
        batch: int | None = None,
        poll: float = 0.1,
        timeout: float | None = None,
        runtime: Runtime = SYSTEM,
    ) -> Follow:
        """Return the rows from `start` on, in order and each once, and then those that are committed.

        Parameters
        ----------
        start
            Number of a row, from the end if it is negative; or a sorted field and the value from which on,
            such as ``{"time": "2026-01-05"}``. None: the first row that is there.
        batch
            Rows that are given at a time, at most. None: all that are there, which are those of one commit
            or of several.
        poll
            Seconds between looks at the stream when there is nothing new.
        timeout
            Seconds without a new row after which it ends. None: never.
        runtime
            Whose clock counts, and who waits.

        Raises
        ------
        streamzarr.errors.ConfigError
            `start` is not among the rows, or an argument makes no sense.

        Examples
        --------
        >>> import streamzarr as sz
        >>> with sz.StreamWriter("memory://counts", schema={"value": "i4"}) as writer:
        ...     writer.append({"value": [1, 2, 3]})
        >>> for rows in sz.open_stream("memory://counts").follow(batch=2, timeout=0):
        ...     print(rows.start, rows["value"][:])
        0 [1 2]
        2 [3]
        """
        return Follow(self.view, start, batch=batch, poll=poll, timeout=timeout, runtime=runtime)


def snapshot_of(view: View) -> Snapshot:
    """Return all rows of a view."""
    record = view.document.record
    return Snapshot(view, record.first_row, record.rows)
