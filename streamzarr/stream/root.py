"""The root of a stream in its store, in the hands of its writer: replaced by compare-and-swap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from streamzarr.errors import FencedError, KeyNotFoundError, StoreError, StreamGoneError, UnsupportedError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.runtime import Runtime
from streamzarr.stores import Store, StoredObject, join_url
from streamzarr.stream.bounds import Bounds
from streamzarr.stream.document import RootDocument
from streamzarr.stream.record import CommitRecord, Position
from streamzarr.stream.standing import Standing, standing
from streamzarr.zarr.metadata import ArrayMetadataV3
from streamzarr.zarr.metadata.v3 import ZARR_JSON
from streamzarr.zarr.nodes.paths import key_below

TRIES: Final = 5
"""Puts of one commit, before what keeps it from being answered is reported."""


class Root:
    """The root as its writer knows it. Owned by one thread, but for :meth:`require_ours`.

    Every method blocks on the store.

    Parameters
    ----------
    document, etag
        What is stored: it has our epoch.
    """

    def __init__(
        self,
        store: Store,
        path: str,
        document: RootDocument,
        etag: str,
        runtime: Runtime,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._store, self._path, self._limits = store, path, limits
        self._key = key_below(path, ZARR_JSON)
        self.url = join_url(store.url, path)
        self._runtime = runtime
        self._document, self._etag = document, etag
        self._unanswered: set[str] = set()

    @property
    def document(self) -> RootDocument:
        """What was last known to be committed."""
        return self._document

    @property
    def record(self) -> CommitRecord:
        """Its commit record."""
        return self._document.record

    def commit(
        self, rows: int, position: Position | None, bounds: Mapping[str, Bounds] | None = None
    ) -> None:
        """Make `rows` rows visible, and `position` and `bounds` with them: the one step that counts.

        Harmless when repeated after an error, also with more rows.

        Raises
        ------
        streamzarr.errors.FencedError
            Another writer has taken over; nothing has changed, or nothing but an earlier commit of ours.
        streamzarr.errors.StoreError
            The store failed, and it is not known whether the commit was carried out, or will be.
        """
        self._replace({"rows": rows, "position": position} | ({} if bounds is None else {"bounds": bounds}))

    def grow(self, name: str, array: ArrayMetadataV3) -> None:
        """Add a field in a commit of its own, whose rows so far are its fill value; raises as :meth:`commit`.

        Harmless when repeated. No chunk of the field may be put before, by nobody: it could come late, and
        stand where the fill value belongs.
        """
        self._replace({}, {name: array})

    def _replace(self, changes: Mapping[str, Any], added: Mapping[str, ArrayMetadataV3] = {}) -> None:
        """Make a commit that changes the record and adds fields."""
        commit_id = self._runtime.random_bytes(16).hex()
        self._unanswered.add(commit_id)
        failure: StoreError | None = None
        for _ in range(TRIES):
            document = self._next(changes, added, commit_id)
            try:
                etag = self._store.put(self._key, document.encode(self.url), if_match=self._etag)
            except UnsupportedError:
                raise
            except StoreError as error:
                failure = error
                self._look()
                if self.record.commit_id == commit_id:
                    break
            else:
                self._document, self._etag = document, etag
                break
        else:
            raise StoreError(
                f"{self.url}: the commit of {document.record.rows} rows got no answer, "
                f"{TRIES} times: {failure}"
            ) from failure
        self._unanswered.clear()

    def require_ours(self) -> None:
        """Return if the root has our epoch still; raises as :meth:`commit`."""
        try:
            if self._store.head(self._key).etag == self._etag:
                return
        except KeyNotFoundError:
            pass
        found, _ = self._fetch()
        self._judge(found)

    def _next(
        self, changes: Mapping[str, Any], added: Mapping[str, ArrayMetadataV3], commit_id: str
    ) -> RootDocument:
        before = self._document
        for name, array in added.items():
            before = before.grown(name, array)
        if before.record.rows and "bounds" in changes:  # what a repair has dropped stays away
            kept = {name: each for name, each in changes["bounds"].items() if name in before.record.bounds}
            changes = {**changes, "bounds": kept}
        seq, time_ns = before.record.seq + 1, self._runtime.wall_ns()
        return before.committed(
            replace(before.record, seq=seq, commit_id=commit_id, time_ns=time_ns, **changes)
        )

    def _look(self) -> None:
        """Find out what became of a put that was refused or not answered."""
        found, stored = self._fetch()
        kind = self._judge(found)
        assert stored is not None
        if kind is Standing.SET_BACK:
            self._etag = stored.etag  # our commit is put over it again
        else:
            assert found is not None
            self._document, self._etag = found, stored.etag

    def _judge(self, found: RootDocument | None) -> Standing:
        kind = standing(found.record if found else None, self.record, self._unanswered)
        if kind is Standing.FENCED:
            if found is None:
                raise StreamGoneError(f"{self.url}: the stream is gone: it was removed while it was written")
            now = f"epoch {found.record.epoch} by {found.record.writer}"
            if found.record.stream != self.record.stream:
                raise StreamGoneError(
                    f"{self.url}: ours is gone: the stream is another one, made in its place, of {now}"
                )
            raise FencedError(
                f"{self.url}: another writer has taken over: the stream is {now}, "
                f"ours is epoch {self.record.epoch} by {self.record.writer}"
            )
        return kind

    def _fetch(self) -> tuple[RootDocument | None, StoredObject | None]:
        return fetch_root(self._store, self._path, self._limits)


def fetch_root(
    store: Store, path: str, limits: Limits = DEFAULT_LIMITS
) -> tuple[RootDocument | None, StoredObject | None]:
    """Return the root of the stream at `path` and what it was read from; None where that is not there."""
    key = key_below(path, ZARR_JSON)
    try:
        stored = store.fetch_limited(key, limits.max_metadata_bytes)
    except KeyNotFoundError:
        return None, None
    return RootDocument.parse(stored.data, join_url(store.url, key), limits), stored
