"""Changes of streams that a maintainer makes, carried out by hand."""

from dataclasses import replace
from typing import Any

from streamzarr.stores import Store
from streamzarr.stream import Field
from streamzarr.stream.document import RootDocument
from streamzarr.stream.root import fetch_root
from streamzarr.stream.schema import chunk_rows_of


def change_root(store: Store, change: Any, path: str = "") -> None:
    """Put what `change` makes of the root."""
    document, stored = fetch_root(store, path)
    assert document is not None
    assert stored is not None
    key = f"{path}/zarr.json".lstrip("/")
    store.put(key, change(document).encode(store.url), if_match=stored.etag)


def give_up(store: Store, first_row: int, path: str = "") -> None:
    """Let the rows before `first_row` go, with their chunks."""

    def change(root: RootDocument) -> RootDocument:
        return root.committed(replace(root.record, seq=root.record.seq + 1, first_row=first_row))

    change_root(store, change, path)
    document, _ = fetch_root(store, path)
    assert document is not None
    for name, array in document.fields.items():
        for number in range(first_row // chunk_rows_of(array)):
            store.delete(f"{path}/{name}/c/{number}".lstrip("/"))


def grow(store: Store, name: str, field: Field) -> None:
    """Add a field."""

    def change(root: RootDocument) -> RootDocument:
        rows = root.record.rows
        array = field.metadata(name, rows, 100)
        record = replace(root.record, seq=root.record.seq + 1, since={**root.record.since, name: rows})
        group = replace(root.group, consolidated={**(root.group.consolidated or {}), name: array.to_json()})
        return RootDocument(group, root.record, {**root.fields, name: array}).committed(record)

    change_root(store, change)
