"""The attributes of an array or group, as a mapping that writes through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, TypeAlias

from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.zarr.metadata.document import plain_attributes

Change: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]


class Attributes(MutableMapping[str, Any]):
    """JSON values by name. Every change is one write of the metadata; :meth:`update` makes many in one.

    Values of numpy become numbers and lists, as they will be read again. Reads see the attributes as they
    were when the node was opened, or last changed through it. Not for use by several threads at once.

    Examples
    --------
    >>> import streamzarr.zarr as zarr
    >>> array = zarr.create_array("memory://", shape=(1,), dtype="i2")
    >>> array.attrs.update(units="m", scale=0.5)
    >>> array.attrs["units"], len(array.attrs)
    ('m', 2)
    """

    def __init__(
        self,
        read: Callable[[], dict[str, Any]],
        change: Callable[[Change], None],
        where: str,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._read = read
        self._change = change
        self._where = where
        self._limits = limits

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        if key not in self._read():
            raise KeyError(key)
        self._change(lambda now: {name: value for name, value in now.items() if name != key})

    def update(self, *others: Any, **values: Any) -> None:
        """Set several attributes in one write."""
        merged = self._plain(dict(*others, **values))
        self._change(lambda now: now | merged)

    def put(self, attributes: Mapping[str, Any]) -> None:
        """Replace all attributes in one write."""
        replacement = self._plain(attributes)
        self._change(lambda now: replacement)

    def _plain(self, values: Mapping[str, Any]) -> dict[str, Any]:
        for key in values:
            if not isinstance(key, str):
                raise TypeError(f"attribute names are str, got {type(key).__name__}")
        return plain_attributes(values, self._where, self._limits)

    def asdict(self) -> dict[str, Any]:
        """Return a copy."""
        return dict(self._read())

    def __repr__(self) -> str:
        return f"Attributes({self._read()!r})"
