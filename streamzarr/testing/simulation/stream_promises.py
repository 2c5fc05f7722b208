"""What a stream promises while others write, read and keep it: invariants I1 to I9 of its protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamzarr.errors import KeyNotFoundError, StreamzarrError
from streamzarr.stores import Store
from streamzarr.stream import Checked, Field, Kind, Rows, Snapshot, open_stream
from streamzarr.stream.document import RootDocument
from streamzarr.stream.record import CommitRecord
from streamzarr.stream.root import fetch_root
from streamzarr.testing.simulation.errors import told
from streamzarr.testing.simulation.world import World
from streamzarr.zarr.codecs.base import NDArray

SCHEMA: Final = {
    "offset": Field("i8", chunk_rows=5, sorted=True),
    "value": Field("f8", chunk_rows=3, compressors=None),
    "frame": Field("u1", shape=(3,), chunk_rows=4, chunks=(2,)),
}
EXTRA: Final = "extra"
ADDED: Final = Field("i2", chunk_rows=4, fill_value=-1)
"""The field that a writer adds under this name."""
KEPT: Final = 5
"""Rows at the end that no retention gives up."""
LATE: Final = (Kind.COPY,)
"""What does harm, and is no fault of ours: a put that comes late is nobody's to prevent."""


@dataclass
class StreamPromises:
    """Compares a stream with its source. The world's main thread and its processes may ask.

    Parameters
    ----------
    source
        The offset of each row; there are gaps.
    contents
        What is stored, to be looked at without waiting.
    """

    world: World
    source: Sequence[int]
    contents: Store
    root: RootDocument | None = None
    """The root that was last seen in the store."""
    etag: str = ""
    rows: int = 0
    """Rows of the commits that have returned."""
    filled: int = 0
    """Rows of which the added field may be its fill value: those that a writer had when it added it."""

    def look(self) -> None:
        """Compare the root with what it was: called at every step, so it looks at the etag first."""
        try:
            etag = self.contents.head("zarr.json").etag
        except KeyNotFoundError:
            return
        if etag == self.etag:
            return
        before, self.etag = self.root, etag
        try:
            self.root, _ = fetch_root(self.contents, "")
            self.check_snapshot(open_stream(self.contents), "I2: the root")
        except StreamzarrError as error:
            self.world.promise(False, f"I2: committed rows cannot be read: {told(error)}")
            return
        root = self.root
        assert root is not None
        record = root.record
        if before is not None:
            self._check_order(before.record, record)
        self.world.promise(
            record.rows >= self.rows,
            f"I7: a commit of {self.rows} rows has returned, but there are {record.rows}",
        )
        self.world.promise(
            record.first_row <= max(0, record.rows - KEPT),
            f"I5: rows before {record.first_row} of {record.rows} were given up, expected {KEPT} to stay",
        )

    def check_snapshot(self, snapshot: Snapshot, who: str) -> None:
        """Compare a commit with the source."""
        rows = snapshot.rows
        position = self.position(rows)
        self.world.promise(snapshot.position == position, f"{who}: {snapshot.position} for {rows} rows")
        self.check_values(snapshot, who)

    def check_values(self, found: Rows, who: str) -> None:
        """Compare rows with those of the source."""
        expected = values_of(self.source[found.start : found.stop])
        record = found.view.document.record
        for name in found:
            wanted, values = expected[name], found[name][:]
            if name == EXTRA:
                since, fill = record.since.get(name, 0) - found.start, values == ADDED.fill_value
                count = len(fill) if fill.all() else int(fill.argmin())
                self.world.promise(
                    min(since, len(fill)) <= count <= max(0, self.filled - found.start),
                    f"{who}: {count} rows of {name} are its fill value, it begins with {since}",
                )
                wanted[:count] = ADDED.fill_value
            same = bool(np.array_equal(values, wanted))
            self.world.promise(same, f"{who}: {name} is {values} from {found.start} on, expected {wanted}")

    def check_findings(self, found: Checked) -> None:
        """Nothing that does harm may be found in a stream."""
        wrong = [str(each) for each in found.findings if not each.kind.harmless and each.kind not in LATE]
        self.world.promise(not wrong, f"I2: a check found {wrong}")

    def position(self, rows: int) -> int | None:
        """Return the position behind so many rows."""
        return self.source[rows - 1] + 1 if rows else None

    def _check_order(self, before: CommitRecord, after: CommitRecord) -> None:
        for name in ("epoch", "seq", "rows", "first_row", "position"):
            was, now = getattr(before, name) or 0, getattr(after, name) or 0
            self.world.promise(was <= now, f"I4: {name} went back from {was} to {now}")


def values_of(offsets: Sequence[int]) -> dict[str, NDArray]:
    """Return the rows with these offsets, all fields of them."""
    offset = np.array(offsets, "i8")
    return {
        "offset": offset,
        "value": offset / 4,
        "frame": (offset[:, None] + np.arange(3)).astype("u1"),
        EXTRA: (offset % 100).astype("i2"),
    }
