"""What an array and a group have in common: a place in a store."""

from __future__ import annotations

from streamzarr.errors import UnsupportedError
from streamzarr.stores import Store, join_url


class Node:
    """The base of :class:`~streamzarr.zarr.array.Array` and :class:`~streamzarr.zarr.group.Group`."""

    def __init__(self, store: Store, path: str) -> None:
        self._store = store
        self._path = path
        self._url = join_url(store.url, path)

    @property
    def store(self) -> Store:
        """The store that holds the node."""
        return self._store

    @property
    def path(self) -> str:
        """Where the node lies in its store; empty at the root."""
        return self._path

    @property
    def name(self) -> str:
        """The path with a leading slash."""
        return f"/{self._path}"

    @property
    def basename(self) -> str:
        """The last part of the path."""
        return self._path.rpartition("/")[2]

    @property
    def url(self) -> str:
        """The URL that opens this node again."""
        return self._url

    @property
    def read_only(self) -> bool:
        """Whether writing is refused."""
        return not self._store.capabilities.writable

    def _require_writable(self) -> None:
        if self.read_only:
            raise UnsupportedError(f"{self._url}: opened read-only; open it with mode='r+'")
