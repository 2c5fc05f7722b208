"""The targets of one partition, and where its reading goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from streamzarr.stores import Store
from streamzarr.stream import Field, StreamWriter, open_stream

TARGET: Final = "target"
START: Final = "start"
OTHER: Final = "other"
CHUNK_ROWS: Final = 1024


def ledger_schema() -> dict[str, Field]:
    """Return the fields of a ledger: a row is a target, the offset that it begins at, and whom it is for.

    That is rows of its name alone, or of all names that had no target.
    """
    types = {TARGET: "string", START: "i8", OTHER: "bool"}
    return {name: Field(dtype, chunk_rows=CHUNK_ROWS) for name, dtype in types.items()}


class Ledger:
    """Owned by the chain's thread; :meth:`add` and :meth:`commit` block on the store."""

    def __init__(self, writer: StreamWriter, store: Store, path: str) -> None:
        self._writer = writer
        position = writer.position
        assert isinstance(position, int)
        self._position = position
        stored = open_stream(store, path)
        names = list(map(str, stored[TARGET][:].tolist()))
        self._targets = dict(zip(names, stored[START][:].tolist(), strict=True))
        self.others = [name for name, other in zip(names, stored[OTHER][:], strict=True) if other]
        """Targets of rows that had none of their own, in this life or before."""

    @property
    def targets(self) -> Mapping[str, int]:
        """The offset that each target begins at, by its name."""
        return self._targets

    @property
    def position(self) -> int:
        """The next offset to be read."""
        return self._position

    @property
    def put_bytes(self) -> int:
        """Bytes of chunks that were put so far."""
        return self._writer.put_bytes

    def add(self, names: Sequence[str], start: int, other: str | None) -> None:
        """Let there be new targets; on return they are settled, before any of them has rows.

        The position that is committed stays: rows below ours may still be in memory.

        Raises
        ------
        streamzarr.errors.FencedError, streamzarr.errors.StoreError
            As ``StreamWriter.commit``; after the latter call :meth:`settle`.
        """
        are_other = [name == other for name in names]
        columns = {TARGET: names, START: [start] * len(names), OTHER: are_other}
        self._writer.append(columns, next_offset=self._writer.position)
        self._targets |= dict.fromkeys(names, start)
        self.others += [name for name in names if name == other]
        self.settle()

    def settle(self) -> None:
        """Commit targets whose commit has failed; raises as :meth:`add`."""
        if self._writer.rows > self._writer.record.rows:
            self._writer.commit()

    def move(self, position: int) -> None:
        """Go on at `position`, unless we are behind it already."""
        self._position = max(self._position, position)

    def commit(self) -> None:
        """Make the position durable, as all rows below it are; raises as :meth:`add`."""
        if self._position != self._writer.position:
            self._writer.append({TARGET: [], START: [], OTHER: []}, next_offset=self._position)
        self._writer.commit()

    def drop(self) -> None:
        """Give up what is not committed."""
        self._writer.drop()
