"""Which records of a partition have no slot: a replay may bring one of those in, and no other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from streamzarr.errors import NodeNotFoundError
from streamzarr.stores import Store
from streamzarr.stream import Field, StreamWriter, open_stream

RESERVED = "reserved"
"""Group beside the partitions' streams, with one stream for each that has bad records: their offsets."""
OFFSET = "offset"
BAD = "bad"
CHUNK_ROWS = 8192


def reserved_path(path: str) -> str:
    """Return where the offsets of the bad records of the stream at `path` are.

    >>> reserved_path("p00000"), reserved_path("fx.ticks/p00000")
    ('reserved/p00000', 'fx.ticks/reserved/p00000')
    """
    above, _, name = path.rpartition("/")
    return f"{above}/{RESERVED}/{name}".lstrip("/")


def reserved_schema() -> dict[str, Field]:
    """Return the fields: an offset, and whether its record is bad; the last row about an offset counts."""
    return {OFFSET: Field("i8", chunk_rows=CHUNK_ROWS), BAD: Field("bool", chunk_rows=CHUNK_ROWS)}


class Reserved:
    """The offsets of bad records. Owned by the chain's thread; blocks on the store.

    A slot does not say which records are in it. So those that are in none are noted, before the position
    passes them. What a life before has noted and its position has not passed is taken back: read again, with
    other columns perhaps, such a record may be good.

    Parameters
    ----------
    known
        Up to which offset records were settled when this life began.
    """

    def __init__(
        self, store: Store, path: str, known: int, open_writer: Callable[[str], StreamWriter]
    ) -> None:
        self._store, self._path, self._known = store, reserved_path(path), known
        self._open_writer = open_writer
        self._writer: StreamWriter | None = None

    def begin(self) -> None:
        """Take back what a life before has noted too early; raises as ``StreamWriter.commit``."""
        try:
            open_stream(self._store, self._path)
        except NodeNotFoundError:
            return
        self._opened()

    def add(self, offsets: Collection[int]) -> None:
        """Note bad records; durable with the next :meth:`commit`."""
        self._append(sorted(offsets), True)

    def among(self, places: Collection[int]) -> set[int]:
        """Return which of some offsets are those of bad records."""
        self._opened().commit()
        states = self._states()
        return {place for place in places if states.get(place, False)}

    def commit(self) -> None:
        """Make what was noted durable; raises as ``StreamWriter.commit``."""
        if self._writer is not None:
            self._writer.commit()

    def drop(self) -> None:
        """Give up what is not committed."""
        if self._writer is not None:
            self._writer.drop()

    def _append(self, offsets: Sequence[int], bad: bool) -> None:
        self._opened().append({OFFSET: offsets, BAD: [bad] * len(offsets)})

    def _states(self) -> dict[int, bool]:
        stored = open_stream(self._store, self._path)
        return dict(zip(stored[OFFSET][:].tolist(), stored[BAD][:].tolist(), strict=True))

    def _opened(self) -> StreamWriter:
        if self._writer is None:
            writer = self._open_writer(self._path)
            early = [offset for offset, bad in self._states().items() if bad and offset >= self._known]
            self._writer = writer
            self._append(sorted(early), False)
        return self._writer
