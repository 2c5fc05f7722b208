"""Consolidated metadata that stay true: what changes through a group is noted in it and in those above."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from streamzarr.errors import NodeNotFoundError, StreamzarrError
from streamzarr.limits import Limits
from streamzarr.stores import Store
from streamzarr.zarr.metadata import ArrayMetadataV2, ArrayMetadataV3, GroupMetadata, NodeMetadata
from streamzarr.zarr.metadata import consolidated as consolidation
from streamzarr.zarr.metadata.v2 import ZMETADATA
from streamzarr.zarr.nodes.documents import UNREADABLE, Seen, change_node, see_node
from streamzarr.zarr.nodes.paths import ancestors, key_below

Edit: TypeAlias = Callable[[GroupMetadata], GroupMetadata]
_EditAt: TypeAlias = Callable[[str, GroupMetadata], GroupMetadata]


class Keeper:
    """Notes what changes below the group at `path`, in every group from there up that is consolidated.

    The group's own handle is told first, then the documents are changed, the deepest first; each in one step,
    so that several writers lose nothing. A pickled keeper keeps the documents true, and has no handle.

    Parameters
    ----------
    above
        Of the group through which this one was opened, if any.
    tell
        Takes an edit over into the handle of the group.
    """

    def __init__(
        self,
        store: Store,
        path: str,
        kind: type[GroupMetadata],
        limits: Limits,
        above: Keeper | None = None,
        tell: Callable[[Edit], None] | None = None,
    ) -> None:
        self._store = store
        self._path = path
        self._kind = kind
        self._limits = limits
        self._above = above
        self._tell = tell
        self._latest: dict[str, Seen[GroupMetadata]] = {}
        """How we have left each group; the next change needs not read it, if nobody else has changed it."""

    def made(self, nodes: Mapping[str, NodeMetadata]) -> None:
        """Note new nodes by their paths in the store, each in place of all that was at or below its path.

        Where that fails they are taken back, as they are not there then.
        """
        own = {path: bare(node) for path, node in nodes.items() if node.zarr_format == self._kind.zarr_format}

        def edit(place: str, group: GroupMetadata) -> GroupMetadata:
            return consolidation.with_nodes(
                group, {_below(place, path): node for path, node in own.items() if _is_inside(path, place)}
            )

        try:
            self._apply(own, edit)
        except StreamzarrError:
            with suppress(StreamzarrError):
                self.removed(*own)
            raise

    def changed(self, path: str, node: NodeMetadata) -> None:
        """Note that the node at `path` has other metadata now; what is below it stays."""
        self._apply(
            [path], lambda place, group: consolidation.changed(group, _below(place, path), bare(node))
        )

    def removed(self, *paths: str) -> None:
        """Note that nothing is at `paths` any more, nor below them."""

        def edit(place: str, group: GroupMetadata) -> GroupMetadata:
            for path in paths:
                group = (
                    consolidation.without(group, _below(place, path)) if _is_inside(path, place) else group
                )
            return group

        self._apply(paths, edit)

    def _apply(self, paths: Iterable[str], edit: _EditAt) -> None:
        keeper: Keeper | None = self
        while keeper is not None:
            top, keeper = keeper, keeper._above
            if top._tell is not None:
                top._tell(partial(_edited, edit, top._path))
        places = {each for path in paths for each in ancestors(path)}
        inside = [place for place in places if place == top._path or _is_inside(place, top._path)]
        for place in sorted(inside, key=len, reverse=True):
            self._change(place, partial(_edited, edit, place))

    def _change(self, place: str, change: Edit) -> None:
        seen = latest = self._latest.pop(place, None)
        if seen is None:
            if self._kind.zarr_format == 2 and not self._store.exists(key_below(place, ZMETADATA)):
                return  # one request instead of four
            try:
                seen = see_node(self._store, place, self._kind, self._limits)
            except (NodeNotFoundError, *UNREADABLE):
                return  # nobody has made this group in between, or it cannot be read
            if seen.metadata.consolidated is None:
                return
        now = change_node(self._store, place, self._kind, change, self._limits, seen).now
        if latest is not None and now.stored == latest.stored:
            self._change(place, change)  # nothing was written, so nothing has told whether it is still so
        elif self._store.capabilities.conditional_put:
            self._latest[place] = now

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._store, self._path, self._kind, self._limits, self._above)


def _edited(edit: _EditAt, place: str, group: GroupMetadata) -> GroupMetadata:
    return group if group.consolidated is None else edit(place, group)


def bare(node: NodeMetadata) -> NodeMetadata:
    """Return `node` as consolidated metadata above it have it: without its own."""
    if isinstance(node, ArrayMetadataV2 | ArrayMetadataV3):
        return node
    return replace(node, consolidated=None)


def _below(place: str, path: str) -> str:
    return path[len(place) :].lstrip("/")


def _is_inside(path: str, place: str) -> bool:
    return not place or path.startswith(f"{place}/")
