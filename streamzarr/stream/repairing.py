"""Repairing a stream: only what can be mended without losing anything, whoever writes it meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from streamzarr.errors import KeyNotFoundError, NodeNotFoundError, PreconditionFailedError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores import Store, StoreLike, join_url, open_store
from streamzarr.stream.acquire import require_conditional_put
from streamzarr.stream.amend import amend
from streamzarr.stream.checking import check
from streamzarr.stream.children import Children
from streamzarr.stream.document import SHARDS, RootDocument
from streamzarr.stream.findings import Checked, Finding, Kind
from streamzarr.stream.root import fetch_root
from streamzarr.zarr.metadata.document import dump_document
from streamzarr.zarr.metadata.v3 import ZARR_JSON
from streamzarr.zarr.nodes.paths import key_below, normalize_path
from streamzarr.zarr.streaming.progress import Progress


def repair(
    store: StoreLike,
    path: str = "",
    *,
    progress: Progress | bool | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Checked:
    """Check the stream at `path`, mend what can be mended without loss, and return what was found.

    ``kind.repair`` of a finding says what is done about it; None: nothing, since nobody but the one who has
    another copy can. Objects behind the last row stay, too: they may be those of a writer that is about to
    commit them. Files that killed processes have left are removed. Repeat it after an error.

    Parameters
    ----------
    progress
        As for :func:`streamzarr.stream.check`.

    Raises
    ------
    streamzarr.errors.UnsupportedError
        The store cannot hold streams.
    streamzarr.errors.NodeNotFoundError, streamzarr.errors.MetadataError, streamzarr.errors.StoreError
        As by :func:`streamzarr.stream.check`.

    Examples
    --------
    >>> import streamzarr as sz
    >>> with sz.StreamWriter("memory://mended", schema={"value": "i4"}) as writer:
    ...     writer.append({"value": [1, 2, 3]})
    >>> sz.stores.open_store("memory://mended").delete("value/zarr.json")
    >>> [each.kind.repair for each in sz.stream.repair("memory://mended").findings]
    ['lets it follow the root, as the next commit does']
    >>> sz.stream.check("memory://mended").findings
    ()
    """
    opened, path = open_store(store), normalize_path(path)
    checked = check(opened, path, progress=progress, limits=limits)
    require_conditional_put(opened)
    found = {kind: [each for each in checked.findings if each.kind is kind] for kind in Kind}
    opened.delete_many(each.key for each in (*found[Kind.GIVEN_UP], *found[Kind.EARLY], *found[Kind.COPY]))
    if found[Kind.BOUNDS]:
        _drop_bounds(opened, path, found[Kind.BOUNDS], limits)
    if found[Kind.CHILD] or found[Kind.LAGS]:
        root, _ = fetch_root(opened, path, limits)
        if root is None:
            raise NodeNotFoundError(f"no stream at {join_url(opened.url, path)} any more")
        for each in found[Kind.CHILD]:
            _write_child(opened, path, each.array, root)
        children = Children(opened, path, limits)
        children.follow(root)
        for name, rows in root.record.sealed.items():
            children.follow_to(root, key_below(SHARDS, name), rows)
    if found[Kind.STALE]:
        opened.collect_stale(path)
    return checked


def _drop_bounds(store: Store, path: str, findings: Iterable[Finding], limits: Limits) -> None:
    wrong = {each.array for each in findings}

    def change(document: RootDocument) -> RootDocument:
        kept = {name: each for name, each in document.record.bounds.items() if name not in wrong}
        if kept == document.record.bounds:
            return document
        return document.committed(replace(document.record, bounds=kept))

    amend(store, path, change, limits)


def _write_child(store: Store, path: str, name: str, root: RootDocument) -> None:
    """Write the document of a field as `root` has it, which is committed, over what is wrong."""
    key = key_below(key_below(path, name), ZARR_JSON)
    data = dump_document(root.child(name), f"{store.url}: {key}", indent=None)
    try:
        etag = store.head(key).etag
    except KeyNotFoundError:
        etag = None
    try:
        store.put(key, data, if_match=etag, if_none_match=etag is None)
    except PreconditionFailedError:
        return  # the writer has just written it
