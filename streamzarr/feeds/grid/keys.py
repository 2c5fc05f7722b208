"""Which key is where in a grid: in the order in which they came, for good."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamzarr.errors import ConfigError
from streamzarr.feeds.keyed import key_names
from streamzarr.runtime import Runtime
from streamzarr.stores import Store
from streamzarr.stream import StreamWriter, open_stream

KEYS: Final = "keys"
"""Group beside the partitions' streams, with one stream for each: its keys."""


def keys_path(path: str) -> str:
    """Return where the keys of the stream at `path` are.

    >>> keys_path("p00000"), keys_path("fx.ticks/p00000")
    ('keys/p00000', 'fx.ticks/keys/p00000')
    """
    above, _, name = path.rpartition("/")
    return f"{above}/{KEYS}/{name}".lstrip("/")


class Keys:
    """The keys of one partition. Owned by the chain's thread; :meth:`commit` blocks on the store."""

    def __init__(self, store: Store, path: str, room: int, given: tuple[str, ...], runtime: Runtime) -> None:
        self._room, self._fixed = room, bool(given)
        self._writer = StreamWriter(
            store, keys_path(path), schema={"key": "string"}, chunk_rows=1024, runtime=runtime
        )
        stored = open_stream(store, keys_path(path))["key"][:]
        self._places = {str(name): place for place, name in enumerate(stored)}
        self._new: list[str] = []
        if given and (strange := [name for name in self._places if name not in given]):
            raise ConfigError(
                f"{self._writer.url}: has the key {strange[0]!r}, which grid.keys lacks; give another target"
            )
        for name in given:
            self._add(name)

    @property
    def names(self) -> list[str]:
        """All keys, in their places."""
        return list(self._places)

    def places(self, keys: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Return the place of each key; -1 where there is no room for it."""
        names = key_names(keys)
        if not self._fixed:
            for name in dict.fromkeys(names):
                self._add(name)
        return np.array([self._places.get(name, -1) for name in names], np.intp)

    def commit(self) -> None:
        """Make new keys visible; on return their places are settled."""
        if self._new:
            self._writer.append({"key": self._new}, next_offset=None)
            self._new = []
        self._writer.commit()

    def drop(self) -> None:
        """Give up what is not committed."""
        self._writer.drop()

    def _add(self, name: str) -> None:
        if name not in self._places and len(self._places) < self._room:
            self._places[name] = len(self._places)
            self._new.append(name)
