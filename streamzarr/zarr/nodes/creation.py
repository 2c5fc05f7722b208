"""Nodes that come with their data: all of them are there in the end, or none.

Until its data are written, an array is one without elements, which holds its place and says how its chunks
are called: a reader sees no chunk that is still missing as the fill value, and after a crash ``overwrite``
finds all that was written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from streamzarr.errors import KeyNotFoundError, NodeExistsError, PreconditionFailedError, StreamzarrError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores import Store, join_url
from streamzarr.zarr.metadata import NodeMetadata
from streamzarr.zarr.nodes.documents import encoded_documents, place_node
from streamzarr.zarr.nodes.overwrite import marked
from streamzarr.zarr.nodes.ownership import chunk_names, without_elements
from streamzarr.zarr.nodes.paths import VISIBLE, check_new_path


@dataclass(slots=True)
class NewNode:
    """A node that is being made at `path`: its documents by key, in the end and while it has no elements."""

    path: str
    visible: str
    """Key of the document that makes it visible."""
    documents: Mapping[str, bytes]
    empty: bytes | None = None
    """What is under `visible` until the data are written; None where there are none to write."""
    etags: list[str] = field(default_factory=list)
    """Of what we have put under `visible`."""
    unsure: list[bytes] = field(default_factory=list)
    """What we may have put there without being told so; nobody else puts the same."""

    @classmethod
    def of(
        cls,
        store: Store,
        path: str,
        metadata: NodeMetadata,
        *,
        has_data: bool,
        overwrite: bool = False,
        limits: Limits = DEFAULT_LIMITS,
    ) -> Self:
        """Encode the documents of `metadata`; raises where they cannot be written."""
        check_new_path(path)
        documents = encoded_documents(store, path, metadata, limits)
        [visible] = [key for key in documents if key.endswith(VISIBLE)]
        if overwrite:
            documents[visible] = marked(documents[visible])
        empty = None
        if has_data:
            content = without_elements(visible, json.loads(documents[visible]))
            empty = marked(json.dumps(content, indent=2).encode())
        return cls(path, visible, documents, empty)

    @property
    def first(self) -> Mapping[str, bytes]:
        """The documents that are written first."""
        return self.documents if self.empty is None else {**self.documents, self.visible: self.empty}


class Creation:
    """Makes nodes; where the block fails, those that it has made are removed again. For one thread.

    What another process has put in their place meanwhile stays. Where removing fails, too, the error says so.

    >>> from streamzarr.stores import MemoryStore
    >>> from streamzarr.zarr.metadata import new_group
    >>> store = MemoryStore()
    >>> with Creation(store) as creation:
    ...     creation.begin("a", new_group(3))
    ...     raise OSError("the data cannot be had")
    Traceback (most recent call last):
    OSError: the data cannot be had
    >>> list(store.list("a"))
    []
    """

    def __init__(self, store: Store, limits: Limits = DEFAULT_LIMITS) -> None:
        self._store = store
        self._limits = limits
        self._nodes: dict[str, NewNode] = {}

    def begin(
        self, path: str, metadata: NodeMetadata, *, overwrite: bool = False, has_data: bool = False
    ) -> None:
        """Create a node as ``create_node`` does; one that `has_data` gets its elements by :meth:`finish`."""
        node = NewNode.of(
            self._store, path, metadata, has_data=has_data, overwrite=overwrite, limits=self._limits
        )
        with self.writing(node) as etags:
            etags.append(place_node(self._store, path, node.first, overwrite=overwrite))

    @contextmanager
    def writing(self, node: NewNode) -> Iterator[list[str]]:
        """Answer for a node whose first documents are written here; takes the etag of the visible one."""
        self._nodes[node.path] = node
        if node.empty is not None:  # which has marks of its own
            node.unsure.append(node.empty)
        yield node.etags

    def finish(self, path: str) -> None:
        """Show the elements of a node, whose data are written now.

        Raises
        ------
        streamzarr.errors.NodeExistsError
            Another process has put something in its place.
        """
        node = self._nodes[path]
        if node.empty is None:
            return
        data = node.documents[node.visible]
        node.unsure.append(data)
        if_match = node.etags[-1] if self._store.capabilities.conditional_put else None
        try:
            node.etags.append(self._store.put(node.visible, data, if_match=if_match))
        except PreconditionFailedError as error:
            place = join_url(self._store.url, path)
            raise NodeExistsError(f"another process has replaced {place} meanwhile") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            return
        for node in reversed(self._nodes.values()):
            try:
                self._remove(node)
            except StreamzarrError as why:
                place = join_url(self._store.url, node.path)
                error.add_note(f"{place} was begun and not removed, overwrite=True does it: {why}")

    def _remove(self, node: NewNode) -> None:
        store = self._store
        try:
            now = store.fetch(node.visible)
        except KeyNotFoundError:
            return
        if now.etag not in node.etags and now.data not in node.unsure:
            return  # another's
        if node.empty is not None:
            if now.data == node.documents[node.visible]:
                store.put(node.visible, node.empty)  # no chunk that is gone is read as the fill value
            names = chunk_names(node.visible, json.loads(node.empty))
            inside = f"{node.path}/" if node.path else ""
            keys = [*store.list(node.path)]
            store.delete_many(key for key in keys if names and names.has(key[len(inside) :]))
        store.delete(node.visible)
        store.delete_many(key for key in node.documents if key != node.visible)
