"""The attributes of an array or group, as a mapping that writes through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, TypeAlias

Change: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]


class Attributes(MutableMapping[str, Any]):
    """JSON values by name. Every change is one write of the metadata; :meth:`update` makes many in one.

    Reads see the attributes as they were when the node was opened, or last changed through it. Not for use by
    several threads at once.

    Examples
    --------
    >>> import streamzarr.zarr as zarr
    >>> array = zarr.create_array("memory://", shape=(1,), dtype="i2")
    >>> array.attrs.update(units="m", scale=0.5)
    >>> array.attrs["units"], len(array.attrs)
    ('m', 2)
    """

    def __init__(self, read: Callable[[], dict[str, Any]], change: Callable[[Change], None]) -> None:
        self._read = read
        self._change = change

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __setitem__(self, key: str, value: Any) -> None:
        self._change(lambda now: now | {_name(key): value})

    def __delitem__(self, key: str) -> None:
        if key not in self._read():
            raise KeyError(key)
        self._change(lambda now: {name: value for name, value in now.items() if name != key})

    def update(self, *others: Any, **values: Any) -> None:
        """Set several attributes in one write."""
        merged = {_name(key): value for key, value in dict(*others, **values).items()}
        self._change(lambda now: now | merged)

    def put(self, attributes: Mapping[str, Any]) -> None:
        """Replace all attributes in one write."""
        replacement = {_name(key): value for key, value in attributes.items()}
        self._change(lambda now: replacement)

    def asdict(self) -> dict[str, Any]:
        """Return a copy."""
        return dict(self._read())

    def __repr__(self) -> str:
        return f"Attributes({self._read()!r})"


def _name(key: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"attribute names are str, got {type(key).__name__}")
    return key
