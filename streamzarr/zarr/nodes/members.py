"""What lies below a group: looked up in its consolidated metadata where it has some, else in the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from streamzarr.errors import LimitExceededError, MetadataError, NodeNotFoundError
from streamzarr.limits import Limits
from streamzarr.stores import Store, join_url
from streamzarr.zarr.chunks import parallel
from streamzarr.zarr.chunks.cache import ChunkCache
from streamzarr.zarr.metadata import ArrayMetadataV2, ArrayMetadataV3, GroupMetadata, NodeMetadata
from streamzarr.zarr.metadata.consolidated import ConsolidatedNodes
from streamzarr.zarr.nodes.documents import UNREADABLE
from streamzarr.zarr.nodes.paths import VISIBLE_OF, key_below, name_of
from streamzarr.zarr.nodes.revalidate import find_node
from streamzarr.zarr.settings import ZarrFormat

Unreadable: TypeAlias = MetadataError | LimitExceededError
"""Why a node cannot be read: of a type, a codec or a size that is not known or allowed here, or broken."""


class Members:
    """The nodes below the group at `path`, by their paths relative to it. Thread-safe."""

    def __init__(
        self,
        store: Store,
        path: str,
        metadata: GroupMetadata,
        *,
        use_consolidated: bool,
        limits: Limits,
        cache: ChunkCache | None,
    ) -> None:
        self._store = store
        self._path = path
        self._zarr_format: ZarrFormat = 2 if metadata.zarr_format == 2 else 3
        self._use_consolidated = use_consolidated
        self._limits = limits
        self._cache = cache
        self._consolidated: ConsolidatedNodes | None = None
        if use_consolidated and metadata.consolidated is not None:
            self._consolidated = ConsolidatedNodes(metadata, join_url(store.url, path), limits)

    def find(self, path: str) -> NodeMetadata:
        """Return the node at `path`.

        Raises
        ------
        streamzarr.errors.NodeNotFoundError
            There is none.
        streamzarr.errors.MetadataError, streamzarr.errors.LimitExceededError
            There is one, and it cannot be read.
        """
        found = None if self._consolidated is None else self._consolidated.node(path)
        if found is not None:
            return found
        place = key_below(self._path, path)
        return find_node(self._store, place, self._zarr_format, self._limits, self._cache)

    def has(self, path: str) -> bool:
        """Tell whether a node is at `path`, readable or not."""
        if self._consolidated is not None and path in self._consolidated:
            return True
        place = key_below(self._path, path)
        return any(self._store.exists(key_below(place, name)) for name in VISIBLE_OF[self._zarr_format])

    def walk(self, max_depth: int | None) -> Iterator[tuple[str, NodeMetadata | Unreadable]]:
        """Yield path and metadata of each node below, or why it cannot be read; sorted by path.

        `max_depth` 0 is the children, None is all. What lies in the store and is no node is passed over.
        """
        if self._consolidated is not None:
            for path in self._consolidated.paths:
                if max_depth is None or path.count("/") <= max_depth:
                    found = _read(self, path)
                    assert found is not None
                    yield path, found
            return
        for name, node in self._children():
            yield name, node
            if max_depth == 0 or isinstance(node, ArrayMetadataV2 | ArrayMetadataV3 | Unreadable):
                continue
            below = Members(
                self._store,
                key_below(self._path, name),
                node,
                use_consolidated=self._use_consolidated,
                limits=self._limits,
                cache=self._cache,
            )
            for path, each in below.walk(None if max_depth is None else max_depth - 1):
                yield f"{name}/{path}", each

    def _children(self) -> Iterator[tuple[str, NodeMetadata | Unreadable]]:
        """Yield name and node of what the store has directly below, as many at a time as the store likes."""
        names = [name_of(prefix.rstrip("/")) for prefix in self._store.list_dir(self._path).prefixes]
        step = self._store.capabilities.in_flight
        for at in range(0, len(names), step):
            found: dict[str, NodeMetadata | Unreadable | None] = dict.fromkeys(names[at : at + step])

            def look(name: str, found: dict[str, NodeMetadata | Unreadable | None] = found) -> None:
                found[name] = _read(self, name)

            parallel.for_each(look, [*found], len(found))
            yield from ((name, node) for name, node in found.items() if node is not None)


def _read(members: Members, path: str) -> NodeMetadata | Unreadable | None:
    try:
        return members.find(path)
    except NodeNotFoundError:
        return None
    except UNREADABLE as error:
        return error
