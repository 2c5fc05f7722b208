"""Reading, creating and changing the metadata documents of nodes in a store.

A change is a pure function from metadata to metadata, applied by compare-and-swap where the store can: two
processes that change different attributes of one array lose nothing.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from streamzarr.errors import (
    ContainsArrayError,
    ContainsGroupError,
    KeyNotFoundError,
    LimitExceededError,
    MetadataError,
    NodeExistsError,
    NodeNotFoundError,
    PreconditionFailedError,
    StoreError,
    StreamzarrError,
)
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores import Store, StoredObject, join_url
from streamzarr.zarr.metadata import (
    ArrayMetadataV2,
    GroupMetadataV2,
    NodeMetadata,
    new_group,
)
from streamzarr.zarr.metadata.document import INDENTED_BYTES, dump_document, parse_document, same_document
from streamzarr.zarr.metadata.v2 import ZARRAY, ZATTRS, ZGROUP, ZMETADATA
from streamzarr.zarr.metadata.v3 import ZARR_JSON, parse_v3
from streamzarr.zarr.nodes.overwrite import clear, find_old, mark_of, marked, remove_documents
from streamzarr.zarr.nodes.paths import VISIBLE, ancestors, check_new_path, key_below
from streamzarr.zarr.nodes.streams import STREAM_ATTRIBUTE, of_commits_alone
from streamzarr.zarr.settings import ZarrFormat

M = TypeVar("M", bound=NodeMetadata)
T = TypeVar("T")

UNREADABLE = (MetadataError, LimitExceededError)
"""What is raised of a document that is there, and not valid, not supported, or too large."""

_STREAM = f'"{STREAM_ATTRIBUTE}"'.encode()
_LAST_KEY = re.compile(rb'[,{]\s*"node_type":\s*"(array|group)"\s*\}\s*\Z')
"""The end of a document whose last key says what it makes. No text holds quotes like that."""

_ATTEMPTS = 1000
"""How often a change is tried again when another writer was faster; each time one of them has advanced."""


def read_node(
    store: Store, path: str, zarr_format: ZarrFormat | None = None, limits: Limits = DEFAULT_LIMITS
) -> NodeMetadata:
    """Return the metadata of the array or group at `path`; v3 wins, with a warning (trap T27).

    Raises
    ------
    streamzarr.errors.NodeNotFoundError
        Neither is there.
    streamzarr.errors.MetadataError, streamzarr.errors.LimitExceededError
        The document is not valid.
    """
    if zarr_format in (None, 3):
        key = key_below(path, ZARR_JSON)
        data = get_optional(store, key, limits.max_metadata_bytes)
        if data is not None:
            if zarr_format is None and _has_v2(store, path):
                warnings.warn(
                    f"{join_url(store.url, path)} holds both Zarr v3 and v2 metadata; v3 is used",
                    stacklevel=4,
                )
            where = join_url(store.url, key)
            return parse_v3(parse_document(data, where, limits), where, limits)
    if zarr_format in (None, 2) and (found := _read_v2(store, path, limits)) is not None:
        return found
    wanted = f"Zarr v{zarr_format} array or group" if zarr_format else "array or group"
    raise NodeNotFoundError(f"no {wanted} at {join_url(store.url, path)}")


def get_optional(store: Store, key: str, limit: int = DEFAULT_LIMITS.max_chunk_bytes) -> bytes | None:
    """Return the value of `key`, or None when there is none; one of over `limit` bytes is not read."""
    try:
        return store.get_limited(key, limit)
    except KeyNotFoundError:
        return None


def _has_v2(store: Store, path: str) -> bool:
    return any(store.exists(key_below(path, name)) for name in (ZARRAY, ZGROUP))


def _read_v2(store: Store, path: str, limits: Limits) -> NodeMetadata | None:
    def document(name: str) -> dict[str, Any] | None:
        key = key_below(path, name)
        data = get_optional(store, key, limits.max_metadata_bytes)
        return None if data is None else parse_document(data, join_url(store.url, key), limits)

    if (array := document(ZARRAY)) is not None:
        where = join_url(store.url, key_below(path, ZARRAY))
        return ArrayMetadataV2.from_json(array, where, limits, document(ZATTRS))
    if (group := document(ZGROUP)) is not None:
        where = join_url(store.url, key_below(path, ZGROUP))
        attributes = document(ZATTRS)
        try:
            return GroupMetadataV2.from_json(group, where, attributes, document(ZMETADATA))
        except UNREADABLE as error:
            return GroupMetadataV2.from_json(group, where, attributes, error)
    return None


def create_node(
    store: Store,
    path: str,
    metadata: NodeMetadata,
    *,
    overwrite: bool,
    limits: Limits = DEFAULT_LIMITS,
) -> None:
    """Write the documents of a new node, and of the groups above it that do not exist yet.

    With `overwrite` what belongs to the node that is there is removed, as ``nodes.overwrite`` says.

    Raises
    ------
    streamzarr.errors.NodeExistsError
        A node is there already and `overwrite` is false, or what belongs to no node; or a node above is an
        array. Nothing has been changed then.
    streamzarr.errors.ConfigError
        A name in `path` is reserved.
    streamzarr.errors.MetadataError, streamzarr.errors.LimitExceededError
        `metadata` cannot be written; nothing has been then.
    """
    check_new_path(path)
    documents = encoded_documents(store, path, metadata, limits)
    if overwrite:
        documents |= {key: marked(data) for key, data in documents.items() if key.endswith(VISIBLE)}
    place_node(store, path, documents, overwrite=overwrite)


def place_node(store: Store, path: str, documents: Mapping[str, bytes], *, overwrite: bool) -> str:
    """Write the `documents` of a new node as :func:`create_node` does; the etag of the visible one."""
    zarr_format = 3 if key_below(path, ZARR_JSON) in documents else 2
    missing = [above for above in ancestors(path) if lacks_group(store, above, zarr_format)]
    old = find_old(store, path) if overwrite else None
    if old is None:
        check_absent(store, path)
    for above in missing:
        make_group(store, above, zarr_format)
    if old is None:
        return write_node(store, path, documents)
    etag = write_node(store, path, documents, replacing=clear(store, old))
    remove_documents(store, old, documents)
    return etag


def encoded_documents(
    store: Store, path: str, metadata: NodeMetadata, limits: Limits = DEFAULT_LIMITS
) -> dict[str, bytes]:
    """Return every document of a node as it is stored, by key."""
    return {
        key_below(path, name): dump_document(document, join_url(store.url, key_below(path, name)), limits)
        for name, document in metadata.documents().items()
    }


def write_node(
    store: Store, path: str, documents: Mapping[str, bytes], *, replacing: Mapping[str, str] | None = None
) -> str:
    """Write the documents of a node, and return the etag of the one that makes it visible.

    That one is written first, so that of several creators only the one who succeeds writes the attributes;
    last where another node is replaced.

    Parameters
    ----------
    replacing
        Etags of the documents whose place they take, by key. Where it is given, the document that makes the
        node visible must be marked: one like it may have been there, now or earlier.
    """
    [visible] = [key for key in documents if key.endswith(VISIBLE)]
    beside = {key: data for key, data in documents.items() if key != visible}
    if replacing is not None:
        for key, data in beside.items():
            store.put(key, data)
        return _put_visible(store, path, visible, documents[visible], replacing.get(visible))
    left = {key: _etag(store, key) for key in beside}  # by a creator that was killed
    etag = _put_visible(store, path, visible, documents[visible], None)
    try:
        for key, data in beside.items():
            _put_beside(store, key, data, left[key])
    except StoreError:
        with suppress(StoreError):
            store.delete(visible)
        raise
    return etag


def _put_visible(store: Store, path: str, key: str, data: bytes, old: str | None) -> str:
    if not store.capabilities.conditional_put:
        return store.put(key, data)
    try:
        return store.put(key, data, if_match=old, if_none_match=old is None)
    except PreconditionFailedError as error:
        raise NodeExistsError(f"another process has just created {join_url(store.url, path)}") from error


def _put_beside(store: Store, key: str, data: bytes, old: str | None) -> None:
    """Write the attributes of a new v2 node; those that somebody has set since it can be opened stay."""
    if not store.capabilities.conditional_put:
        store.put(key, data)
        return
    while True:
        try:
            store.put(key, data, if_match=old, if_none_match=old is None)
        except PreconditionFailedError:
            now, where = store.fetch(key), join_url(store.url, key)
            data = dump_document(parse_document(data, where) | parse_document(now.data, where), where)
            old = now.etag
        else:
            return


def _etag(store: Store, key: str) -> str | None:
    try:
        return store.head(key).etag
    except KeyNotFoundError:
        return None


def find_or_make(find: Callable[[], T], make: Callable[[], T]) -> T:
    """Return what `find` finds, or what `make` makes where there is nothing.

    Where another process is faster at making it, that is what is returned.
    """
    try:
        return find()
    except NodeNotFoundError:
        pass
    try:
        return make()
    except NodeExistsError as lost:
        try:
            return find()
        except NodeNotFoundError:  # something else is in the way, an array above it, say
            raise lost from None


def check_absent(store: Store, path: str) -> None:
    """Raise unless nothing is at `path`.

    Raises
    ------
    streamzarr.errors.ContainsArrayError, streamzarr.errors.ContainsGroupError
        A node is there.
    """
    found = _node_at(store, path)
    if found is not None:
        kind, place = found[0], join_url(store.url, path)
        error = ContainsArrayError if kind == "array" else ContainsGroupError
        article = "an" if kind == "array" else "a"
        raise error(f"{article} {kind} is already at {place}; pass overwrite=True")


def lacks_group(store: Store, path: str, zarr_format: int) -> bool:
    """Tell whether no group of this format is at `path`.

    Raises
    ------
    streamzarr.errors.ContainsArrayError
        There is an array: nothing can be below it.
    streamzarr.errors.UnsupportedError
        There is a stream: its fields are made and replaced by commits alone.
    """
    found = _node_at(store, path, zarr_format)
    if found is not None and found[0] == "array":
        raise ContainsArrayError(f"{join_url(store.url, path)} is an array; nothing can be created below it")
    if found is not None and found[0] == "stream":
        raise of_commits_alone(join_url(store.url, path))
    return found is None or found[1] != zarr_format


def make_group(store: Store, path: str, zarr_format: int) -> None:
    """Make a group at `path`, unless another process has just done so."""
    condition: dict[str, Any] = {"if_none_match": True} if store.capabilities.conditional_put else {}
    for key, data in encoded_documents(store, path, new_group(zarr_format)).items():
        try:
            store.put(key, data, **condition)
        except PreconditionFailedError:
            continue


def _node_at(store: Store, path: str, zarr_format: int | None = None) -> tuple[str, int] | None:
    """Return what is at `path`, as :func:`_kind`, and its format; of several the array, or `zarr_format`."""
    found: tuple[str, int] | None = None
    for name in VISIBLE:
        kind = _kind(store, key_below(path, name))
        if kind is None:
            continue
        node = kind, 3 if name == ZARR_JSON else 2
        if kind == "array" or node[1] == zarr_format:
            return node
        found = found or node
    return found


def _kind(store: Store, key: str) -> str | None:
    """Return what the document under `key` makes: array, group or stream; None when it is not there."""
    if not key.endswith(ZARR_JSON):
        kind = "array" if key.endswith(ZARRAY) else "group"
        return kind if store.exists(key) else None
    data = get_optional(store, key, DEFAULT_LIMITS.max_metadata_bytes)
    if data is None:
        return None
    is_large = len(data) > INDENTED_BYTES and _STREAM not in data
    if is_large and (last := _LAST_KEY.search(data[-200:])):
        return last[1].decode()  # which need not be parsed, large as it is
    document = parse_document(data, join_url(store.url, key))
    if document.get("node_type") == "array":
        return "array"
    return "stream" if STREAM_ATTRIBUTE in (document.get("attributes") or {}) else "group"


@dataclass(frozen=True, slots=True)
class Seen(Generic[M]):
    """The metadata of a node, and what each of its documents was read from, by key; None: it is not there."""

    metadata: M
    stored: dict[str, StoredObject | None]


class Changed(NamedTuple, Generic[M]):
    """The metadata of a node as another has left it, and as it is now."""

    before: M
    after: M
    now: Seen[M]
    """What another change can begin with, if nobody else is faster."""


def change_node(
    store: Store,
    path: str,
    kind: type[M],
    change: Callable[[M], M],
    limits: Limits = DEFAULT_LIMITS,
    seen: Seen[M] | None = None,
) -> Changed[M]:
    """Apply `change` to the metadata at `path` as it is now, write what differs, and return both.

    On a store with conditional put nothing that another writer changed meanwhile is lost: `change` is then
    applied again to the newer metadata. It must be pure.

    Parameters
    ----------
    seen
        What :func:`see_node` returned, so that it need not be read again; or the last change, if the store
        has conditional put.

    Raises
    ------
    streamzarr.errors.NodeNotFoundError
        There is no node of `kind` at `path` any more.
    streamzarr.errors.MetadataError
        The result cannot be written.
    """
    conditional = store.capabilities.conditional_put
    for _ in range(_ATTEMPTS):
        before, stored = (found := seen or see_node(store, path, kind, limits)).metadata, found.stored
        seen, now = None, dict(stored)
        after = change(before)
        old = before.documents()
        try:
            for name, document in after.documents().items():
                if name in old and same_document(document, old[name]):
                    continue
                key = key_below(path, name)
                old_data = stored.get(key)
                condition: dict[str, Any] = {}
                if conditional:
                    condition = {"if_match": old_data.etag} if old_data else {"if_none_match": True}
                data = dump_document(document, join_url(store.url, key), limits)
                data += mark_of(old_data.data) if old_data else b""
                now[key] = StoredObject(data, store.put(key, data, **condition))
        except PreconditionFailedError:
            continue
        return Changed(before, after, Seen(after, now))
    raise StoreError(
        f"{join_url(store.url, path)}: metadata changed {_ATTEMPTS} times while it was being changed"
    )


def see_node(store: Store, path: str, kind: type[M], limits: Limits = DEFAULT_LIMITS) -> Seen[M]:
    """Return the metadata at `path` as it is now; for :func:`change_node`, which says what it raises."""
    stored: dict[str, StoredObject | None] = {}
    names = {3: [ZARR_JSON], 2: [ZARRAY, ZGROUP, ZATTRS, ZMETADATA]}[kind.zarr_format]
    documents: dict[str, dict[str, Any]] = {}
    gathered: StreamzarrError | None = None
    for name in names:
        key = key_below(path, name)
        try:
            stored[key] = store.fetch_limited(key, limits.max_metadata_bytes)
        except KeyNotFoundError:
            stored[key] = None
            continue
        found = stored[key]
        assert found is not None
        try:
            documents[name] = parse_document(found.data, join_url(store.url, key), limits)
        except UNREADABLE as error:
            if name != ZMETADATA:
                raise
            gathered = error
    where = join_url(store.url, path)
    metadata: NodeMetadata | None = None
    if ZARR_JSON in documents:
        metadata = parse_v3(documents[ZARR_JSON], where, limits)
    elif ZARRAY in documents:
        metadata = ArrayMetadataV2.from_json(documents[ZARRAY], where, limits, documents.get(ZATTRS))
    elif ZGROUP in documents:
        metadata = GroupMetadataV2.from_json(
            documents[ZGROUP], where, documents.get(ZATTRS), gathered or documents.get(ZMETADATA)
        )
    if metadata is None:
        raise NodeNotFoundError(f"nothing is at {where} any more")
    if not isinstance(metadata, kind):
        raise MetadataError(f"{where}: expected {kind.__name__}, found {type(metadata).__name__}")
    return Seen(metadata, stored)
