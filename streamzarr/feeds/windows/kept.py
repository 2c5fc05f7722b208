"""The windows that are open at a commit, in an object beside the stream, which the commit names."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from streamzarr.errors import ChecksumError, KeyNotFoundError, MessageError
from streamzarr.feeds.grid.spec import Output
from streamzarr.flow.windows import Bound
from streamzarr.flow.windows.moments import FIRST
from streamzarr.flow.windows.snapshot import PaneState
from streamzarr.stores import Store, join_url

WINDOWS: Final = "windows"
"""Folder beside the partitions' streams, with one for each: its windows that are open."""
LIFE: Final = "life"
STATE: Final = "state"
"""In the position: number of the object, and the epoch of the writer that put it; none yet: 0."""
CHECKSUM: Final = 4
_NAME: Final = re.compile(r"(\d{1,18})-\d{1,18}")

LIMIT: Final = 1 << 30
"""Bytes of the windows that are open, where the bound of a partition is not known."""


def windows_path(path: str) -> str:
    """Return where the open windows of the stream at `path` are.

    >>> windows_path("p00000"), windows_path("fx.ticks/p00000")
    ('windows/p00000', 'fx.ticks/windows/p00000')
    """
    above, _, name = path.rpartition("/")
    return f"{above}/{WINDOWS}/{name}".lstrip("/")


def most_bytes(bound: Bound) -> int:
    """Return how many bytes windows that are open may take where they are stored, also if more were allowed.

    Less than in memory, but for texts beyond ASCII, which may take twice as many.
    """
    return max(LIMIT, 2 * bound.max_bytes)


class Held(Struct, frozen=True):
    """Windows that are open, as plain data. Values only."""

    version: Literal[1]
    fields: tuple[str, ...] = ()
    """The outputs whose states an accumulator has, behind the count."""
    newest: int | None = None
    mark: int = FIRST
    panes: tuple[PaneState, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of records that are in them; one that is in several counts in each."""
        return sum(pane.value[0] for pane in self.panes)

    def fits(self, pane: PaneState) -> bool:
        """Tell whether a window has a key, a count and its states."""
        value = pane.value
        return (
            isinstance(pane.key, str)
            and isinstance(value, list | tuple)
            and len(value) == 1 + len(self.fields)
            and isinstance(value[0], int)
        )

    def accumulators(self, outputs: Sequence[Output]) -> tuple[PaneState, ...]:
        """Return the windows with a state for each of `outputs`; of one that is new there are no values."""
        places = [self.fields.index(each.name) + 1 if each.name in self.fields else None for each in outputs]
        return tuple(replace(pane, value=_accumulator(pane.value, places)) for pane in self.panes)


def _accumulator(stored: Any, places: Sequence[int | None]) -> tuple[Any, ...]:
    states = (None if place is None else stored[place] for place in places)
    return (stored[0], *(tuple(each) if isinstance(each, list) else each for each in states))


def _checksum(data: bytes) -> bytes:
    """Return what stands behind the bytes of an object."""
    return zlib.crc32(data).to_bytes(CHECKSUM, "little")


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Held)


class Kept:
    """The objects of one partition. Owned by the chain's thread; blocks on the store.

    Each has a name of its own, so one that a writer puts that was fenced is nobody's. When a commit has named
    one, those before are removed.

    Parameters
    ----------
    path
        Of the partition's stream.
    life
        The epoch of its writer, which has begun: no other is going to commit.
    position
        That of the last commit, which names an object. All others are removed, of lives before this one: it
        may have been fenced by now, and those of whoever took over are none of its business.
    """

    def __init__(self, store: Store, path: str, life: int, position: Mapping[str, int]) -> None:
        self._store, self._path, self._life = store, windows_path(path), life
        self._number = position.get(STATE, 0)
        named = state_key(self._path, position[LIFE], self._number) if self._number else None
        store.delete_many(key for key in store.list(self._path) if key != named and is_before(key, life))
        self._old = [] if named is None else [named]
        self.put_bytes = 0
        """Bytes that were put so far."""

    def put(self, held: Held) -> dict[str, int]:
        """Store what is open; return what is to be in the position. Nothing is over before :meth:`settle`."""
        self._number += 1
        data = _encoder.encode(held)
        data += _checksum(data)
        key = state_key(self._path, self._life, self._number)
        self._old.append(key)  # it may be there whatever put says
        self._store.put(key, data)
        self.put_bytes += len(data)
        return {LIFE: self._life, STATE: self._number}

    def settle(self) -> None:
        """Remove the objects before the last one that was put: a commit names that."""
        last = self._old[-1:]
        if old := self._old[:-1]:
            self._store.delete_many(old)
        self._old = last


def state_key(folder: str, life: int, number: int) -> str:
    """Return the key of an object.

    >>> state_key("windows/p00000", 3, 41)
    'windows/p00000/3-41'
    """
    return f"{folder}/{life}-{number}"


def is_before(key: str, life: int) -> bool:
    """Tell whether a writer put an object whose epoch was before `life`.

    >>> [is_before(f"windows/p00000/{name}", 4) for name in ("3-41", "4-1", "notes.txt")]
    [True, False, False]
    """
    match = _NAME.fullmatch(key.rpartition("/")[2])
    return match is not None and int(match[1]) < life


def held_at(store: Store, path: str, position: Mapping[str, int], limit: int) -> Held:
    """Return the windows that are open at a position of the stream at `path`.

    Raises
    ------
    streamzarr.errors.KeyNotFoundError
        They are gone: a later commit has others.
    streamzarr.errors.ChecksumError
        They are damaged.
    streamzarr.errors.MessageError
        What is there is something else.
    streamzarr.errors.LimitExceededError
        They have more bytes than `limit`.
    """
    if not position.get(STATE):
        return Held(1)
    key = state_key(windows_path(path), position[LIFE], position[STATE])
    try:
        data = store.get_limited(key, limit)
    except KeyNotFoundError as error:
        raise KeyNotFoundError(
            f"{join_url(store.url, key)}: the windows that were open at the commit are gone; put the object "
            "back, or give another target"
        ) from error
    if data[-CHECKSUM:] != _checksum(data[:-CHECKSUM]):
        raise ChecksumError(f"{join_url(store.url, key)}: damaged: its checksum is not that of its bytes")
    try:
        held = _decoder.decode(data[:-CHECKSUM])
    except msgspec.MsgspecError as error:
        raise MessageError(f"{join_url(store.url, key)}: no open windows: {error}") from error
    if not all(map(held.fits, held.panes)):
        raise MessageError(
            f"{join_url(store.url, key)}: no open windows: a value has not {len(held.fields)} states"
        )
    return held
