"""Replacing a node: what belongs to the old one is found, and nothing else is ever removed.

The order is such that wherever it stops

- nothing has changed until all has been checked;
- no chunk of the old node is read as one of the new, and none that is gone as the fill value: first the
  document of each old array is replaced by one of the same array without elements, then chunks and nodes
  below go, and the new documents are written when nothing else of the old is left;
- what is left belongs to a node: an array without elements still says how its chunks are called, so whoever
  replaces it again finds them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamzarr.errors import KeyNotFoundError, NodeExistsError, PreconditionFailedError, StreamzarrError
from streamzarr.limits import DEFAULT_LIMITS
from streamzarr.stores import Store, StoredObject, is_below, join_url, overlaps
from streamzarr.zarr.chunks import parallel
from streamzarr.zarr.metadata.document import BLANKS_COUNT, parse_document
from streamzarr.zarr.metadata.v2 import ZMETADATA
from streamzarr.zarr.nodes.ownership import ChunkNames, chunk_names, owner_of, without_elements
from streamzarr.zarr.nodes.paths import DOCUMENTS, VISIBLE, name_of, parent_of

_BLANKS = b" \t"


@dataclass(frozen=True, slots=True)
class Document:
    """A document of the old node, or of one below it."""

    stored: StoredObject
    content: Mapping[str, Any] | None
    """None where it is not valid JSON; no file can then be told to be a chunk of that node."""


@dataclass(frozen=True, slots=True)
class OldNode:
    """All that is stored at `path` and below it."""

    path: str
    documents: Mapping[str, Document]
    """By key."""
    chunks: Mapping[str, Sequence[str]]
    """Keys of the chunks of each array, by its path."""

    @property
    def own(self) -> dict[str, Document]:
        """The documents that make the node itself exist."""
        return {
            key: each
            for key, each in self.documents.items()
            if parent_of(key) == self.path and name_of(key) in VISIBLE
        }

    @property
    def showing(self) -> list[str]:
        """Keys of the documents that show chunks, or nodes by consolidated metadata."""
        return [
            key
            for key, each in self.documents.items()
            if (chunk_names(key, each.content) and parent_of(key) in self.chunks)
            or (each.content or {}).get("consolidated_metadata")
        ]


def find_old(store: Store, path: str) -> OldNode:
    """Return what is to be removed when the node at `path` is replaced. Lists the store; changes nothing.

    Raises
    ------
    streamzarr.errors.NodeExistsError
        Something is there that belongs to no node: a foreign file, a link, a chunk without an array.
    """
    for key in store.list_strange(path):
        raise _foreign(store, path, key)
    keys = [*store.list(path)]
    if path and not keys and store.exists(path):
        raise _foreign(store, path, path)
    documents = _read_all(store, [key for key in keys if name_of(key) in DOCUMENTS])
    names: dict[str, list[ChunkNames]] = {}
    for key, document in documents.items():
        found = chunk_names(key, document.content)
        if found is not None:
            names.setdefault(parent_of(key), []).append(found)
    chunks: dict[str, list[str]] = {}
    for key in keys:
        if name_of(key) not in DOCUMENTS:
            owner = owner_of(key, path, names)
            if owner is None:
                raise _foreign(store, path, key)
            chunks.setdefault(owner, []).append(key)
    return OldNode(path, documents, chunks)


def clear(store: Store, old: OldNode) -> dict[str, str]:
    """Remove what `old` is made of, but for its own documents, and return the etags that those have now.

    Raises
    ------
    streamzarr.errors.NodeExistsError
        Another process has changed the node since it was looked at; nothing has been removed then.
    """
    own = old.own
    etags = {key: document.stored.etag for key, document in own.items()}
    rest = [key for key in old.documents if key not in own]
    if not rest and not old.chunks:
        return etags
    for key in own:  # first, so that of several processes that replace a node only one goes on
        etags[key] = _hide(store, old, key)
    below = [key for key in old.showing if key not in own]
    parallel.for_each(lambda key: _hide(store, old, key), below, store.capabilities.in_flight)
    store.delete_many(key for key in rest if name_of(key) == ZMETADATA)
    store.delete_many(key for keys in old.chunks.values() for key in keys)
    store.delete_many(key for key in rest if name_of(key) != ZMETADATA)
    return etags


def refuse_itself(source: str, target: str, done: str, *, overwrite: bool) -> None:
    """Raise if what is at `source` cannot be written to `target`, as it would change while it is read.

    The target may not lie in it; and what is removed first may not overlap it, whatever the spelling.

    Raises
    ------
    streamzarr.errors.NodeExistsError
        It cannot be; `done` says what was to be.
    """
    if is_below(target, source) or (overwrite and overlaps(source, target)):
        raise NodeExistsError(f"{source} cannot be {done} onto itself: the target is {target}")


def remove_documents(store: Store, old: OldNode, kept: Iterable[str]) -> None:
    """Remove the documents that made the `old` node exist, but for those `kept`: keys of the new one."""
    store.delete_many(old.own.keys() - set(kept))


def marked(data: bytes) -> bytes:
    """Return the JSON document `data` with blanks at its end, drawn at random.

    Where the etag is a hash of the content, what replaces a node has another etag then, whatever it is like.
    As many random bits as blanks: no two documents of one node get the same ones by chance.
    """
    return data.rstrip() + bytes(_BLANKS[byte & 1] for byte in os.urandom(BLANKS_COUNT))


def mark_of(data: bytes) -> bytes:
    """Return the blanks at the end of a document, if they are those of :func:`marked`, else nothing."""
    mark = data[len(data.rstrip(_BLANKS)) :]
    return mark if len(mark) == BLANKS_COUNT else b""


def _hide(store: Store, old: OldNode, key: str) -> str:
    """Replace a document by one that shows no chunk and no other node, and return its etag."""
    document = old.documents[key]
    data = document.stored.data
    if document.content is not None:
        data = json.dumps(without_elements(key, document.content), indent=2).encode()
    if_match = document.stored.etag if store.capabilities.conditional_put else None
    try:
        return store.put(key, marked(data), if_match=if_match)
    except PreconditionFailedError as error:
        place = join_url(store.url, old.path)
        raise NodeExistsError(f"another process has changed {place} while it was being replaced") from error


def _read_all(store: Store, keys: Sequence[str]) -> dict[str, Document]:
    found: dict[str, Document] = {}

    def read(key: str) -> None:
        try:
            stored = store.fetch_limited(key, DEFAULT_LIMITS.max_metadata_bytes)
        except KeyNotFoundError:  # gone since it was listed
            return
        try:
            found[key] = Document(stored, parse_document(stored.data, join_url(store.url, key)))
        except StreamzarrError:
            found[key] = Document(stored, None)

    parallel.for_each(read, keys, store.capabilities.in_flight)
    return found


def _foreign(store: Store, path: str, key: str) -> NodeExistsError:
    return NodeExistsError(
        f"{join_url(store.url, path)} holds {key!r}, which is part of no Zarr array or group; "
        "overwriting removes nothing else: move it away, or choose another place"
    )
