"""Opening a store from a URL: which class serves which scheme.

A third party's store is known by the entry point group ``streamzarr.stores`` (name: the scheme; value: a
callable that takes a :class:`~streamzarr.stores.url.StoreURL` and returns a store) or by
:func:`register_store`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias, cast

from streamzarr.errors import ConfigError
from streamzarr.stores.base import Store
from streamzarr.stores.readonly import ReadOnlyStore
from streamzarr.stores.url import StoreURL, split_url

StoreFactory: TypeAlias = Callable[[StoreURL], Store]
StoreLike: TypeAlias = str | os.PathLike[str] | Store

ENTRY_POINTS = "streamzarr.stores"

_BUILT_IN = {
    "file": "streamzarr.stores.local:LocalStore.from_url",
    "memory": "streamzarr.stores.memory:MemoryStore.from_url",
    "s3": "streamzarr.stores.s3:S3Store.from_url",
    "zip": "streamzarr.stores.zip:ZipStore.from_url",
}
_EXTRAS = {"s3": "s3"}
_registered: dict[str, StoreFactory] = {}


def open_store(target: StoreLike, *, mode: Literal["r", "r+"] = "r+") -> Store:
    """Open the store that a URL, a local path, or a store itself stands for.

    Opening reads and writes nothing: a place that does not exist is a store without keys.

    Parameters
    ----------
    target
        ``memory://``, ``memory://name``, a path or ``file:///path``, ``zip:///path/a.zip`` or the path of an
        existing ``.zip`` file (read-only), or the URL of a registered scheme.
    mode
        ``"r"`` refuses writes with ``UnsupportedError``; ``"r+"`` reads and writes.

    Raises
    ------
    streamzarr.errors.ConfigError
        The URL is malformed, nothing serves its scheme, or the package that does is not installed.

    Examples
    --------
    >>> store = open_store("memory://")
    >>> etag = store.put("a", b"1")
    >>> open_store(store, mode="r").get("a")
    b'1'
    """
    if mode not in ("r", "r+"):
        raise ConfigError(f"open_store: mode is {mode!r}, expected 'r' or 'r+'")
    store = target if isinstance(target, Store) else _open(split_url(target))
    if mode == "r" and store.capabilities.writable:
        return ReadOnlyStore(store)
    return store


def register_store(scheme: str, factory: StoreFactory, *, replace: bool = False) -> None:
    """Let `factory` open the URLs of `scheme` in this process.

    Worker processes start anew: an installed package is better served by the entry point group
    ``streamzarr.stores``, which every process sees.

    Raises
    ------
    streamzarr.errors.ConfigError
        The scheme is taken and `replace` is false.
    """
    if not replace and (scheme in _registered or scheme in _BUILT_IN):
        raise ConfigError(f"store scheme {scheme!r} is taken; pass replace=True to take it over")
    _registered[scheme] = factory


def known_schemes() -> list[str]:
    """Names of all schemes that :func:`open_store` serves, sorted."""
    from importlib.metadata import entry_points

    return sorted({*_BUILT_IN, *_registered, *entry_points(group=ENTRY_POINTS).names})


def _open(url: StoreURL) -> Store:
    if url.scheme == "file" and url.path.endswith(".zip") and Path(url.path).is_file():
        url = StoreURL("zip", path=os.path.realpath(url.path).lstrip("/"))
    factory = _registered.get(url.scheme) or _load_built_in(url.scheme) or _from_entry_point(url.scheme)
    if factory is None:
        raise ConfigError(
            f"store URL {url.shown!r}: unknown scheme {url.scheme!r}, expected a path or one of "
            + ", ".join(f"{scheme}://" for scheme in known_schemes())
        )
    return factory(url)


def _load_built_in(scheme: str) -> StoreFactory | None:
    if scheme not in _BUILT_IN:
        return None
    module, _, name = _BUILT_IN[scheme].partition(":")
    try:
        found: object = importlib.import_module(module)
    except ImportError as error:
        if scheme not in _EXTRAS:
            raise
        raise ConfigError(
            f"{scheme}:// needs the package {error.name!r}: pip install 'streamzarr[{_EXTRAS[scheme]}]'"
        ) from error
    for part in name.split("."):
        found = getattr(found, part)
    return cast(StoreFactory, found)


def _from_entry_point(scheme: str) -> StoreFactory | None:
    from importlib.metadata import entry_points  # 20 ms that only unknown schemes pay

    for point in entry_points(group=ENTRY_POINTS, name=scheme):
        return cast(StoreFactory, point.load())
    return None
