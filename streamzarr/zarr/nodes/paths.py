"""Paths of nodes inside a store, and which names a new node may have.

Source: Zarr v3 core specification, "Node names"; traps T22 and T23.
"""

from __future__ import annotations

from streamzarr.errors import ConfigError
from streamzarr.stores import check_prefix

VISIBLE = ("zarr.json", ".zarray", ".zgroup")
"""Names of the documents that make a node exist."""
VISIBLE_OF: dict[int, tuple[str, ...]] = {3: VISIBLE[:1], 2: VISIBLE[1:]}
"""Those of each format."""
DOCUMENTS = frozenset([*VISIBLE, ".zattrs", ".zmetadata"])
"""Names of all documents."""


def normalize_path(path: str) -> str:
    """Return `path` without outer slashes; ``..`` and empty segments are errors, never collapsed.

    >>> normalize_path("/level/0/")
    'level/0'

    Raises
    ------
    streamzarr.errors.ConfigError
        The path cannot lie inside a store.
    """
    if not isinstance(path, str):
        raise TypeError(f"path: expected str, got {type(path).__name__}")
    path = path.strip("/")
    check_prefix(path)
    return path


def check_new_path(path: str) -> None:
    """Raise :class:`streamzarr.errors.ConfigError` unless every name in `path` may be given to a new node."""
    for name in path.split("/") if path else ():
        if name.startswith("__") or not name.strip(".") or name in DOCUMENTS:
            raise ConfigError(
                f"path {path!r}: a node cannot be named {name!r}: dots alone, a leading '__' "
                f"and {sorted(DOCUMENTS)} are reserved"
            )


def key_below(path: str, name: str) -> str:
    """Return the key of `name` below `path`.

    >>> key_below("", "zarr.json"), key_below("a", "zarr.json")
    ('zarr.json', 'a/zarr.json')
    """
    return f"{path}/{name}" if path else name


def name_of(key: str) -> str:
    """Return what follows the last slash of `key`.

    >>> name_of("a/zarr.json"), parent_of("a/zarr.json"), parent_of("zarr.json")
    ('zarr.json', 'a', '')
    """
    return key.rpartition("/")[2]


def parent_of(key: str) -> str:
    """Return the path that `key` lies directly below; see :func:`name_of`."""
    return key.rpartition("/")[0]


def ancestors(path: str) -> list[str]:
    """Return every path above `path`, nearest first.

    >>> ancestors("a/b/c")
    ['a/b', 'a', '']
    """
    parts = path.split("/") if path else []
    return ["/".join(parts[:n]) for n in range(len(parts) - 1, -1, -1)]
