"""Going on where the last writer was stopped, wherever that was. Harmless when it is stopped itself."""

from __future__ import annotations

from streamzarr.errors import KeyNotFoundError
from streamzarr.stores import Store
from streamzarr.stream.children import Children
from streamzarr.stream.columns import Columns
from streamzarr.stream.root import Root


def recover(store: Store, path: str, root: Root, columns: Columns, children: Children) -> None:
    """Load what is committed of the chunks that are not full, and mend what the writer before left behind.

    The tails are read *first*, with their etags, and *then* the root is looked at again. Were it the other
    way round, we could be fenced in between, and would hold etags of our successor's chunks as if they were
    our own.

    Raises
    ------
    streamzarr.errors.FencedError
        Another writer has taken over meanwhile.
    streamzarr.errors.KeyNotFoundError, streamzarr.errors.CodecError
        A chunk with committed rows is missing or damaged.
    """
    try:
        columns.recover(root.record)
    except KeyNotFoundError:
        root.require_ours()  # else our successor's rows went on, and ours were given up
        raise
    root.require_ours()
    children.follow(root.document)
    if store.capabilities.temp_files:
        store.collect_stale(path)
