"""A scenario of one stream: writers that take it over from each other, and readers, all real code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from random import Random
from typing import TypeVar

import numpy as np

from streamzarr.errors import FencedError, KeyNotFoundError, StoreError
from streamzarr.stream import Field, StreamWriter, open_stream
from streamzarr.stream.document import RootDocument
from streamzarr.stream.record import CommitRecord
from streamzarr.stream.root import fetch_root
from streamzarr.testing.simulation.errors import told
from streamzarr.testing.simulation.faults import WORLD, Hazard
from streamzarr.testing.simulation.process import SimulatedProcess
from streamzarr.testing.simulation.world import World
from streamzarr.zarr.api import open_array
from streamzarr.zarr.codecs.base import NDArray

T = TypeVar("T")

URL = "sim://data/stream"
WRITERS, READERS = ("writer-1", "writer-2"), ("reader-1", "reader-2")
SCHEMA = {
    "offset": Field("i8", chunk_rows=5, sorted=True),
    "value": Field("f8", chunk_rows=3, compressors=None),
    "frame": Field("u1", shape=(3,), chunk_rows=4, chunks=(2,)),
}
TRIES = 3
"""How often a writer repeats what fails before it gives up and begins anew."""
PATIENCE = 400.0
UNSTEADY_SECONDS = 60.0
"""After so long at the latest no more faults happen."""

HAZARDS: tuple[Hazard, ...] = (
    *(Hazard(name, "kill", within=400, weight=3.0) for name in WRITERS),
    *(Hazard(name, "freeze", within=400, seconds=(0.5, 40.0), weight=3.0) for name in WRITERS),
    *(Hazard(name, "freeze", within=200, seconds=(0.5, 20.0)) for name in READERS),
    Hazard(WORLD, "jump", within=1000, seconds=(-7200.0, 7200.0), weight=0.5),
    *(Hazard("write", kind, within=200, weight=2.0) for kind in ("refuse", "lose")),
    Hazard("write", "late", within=200, seconds=(1.0, 30.0), weight=2.0),
    Hazard("write", "stray", within=200, seconds=(0.01, 30.0), weight=3.0),
    Hazard("write", "full", within=200, seconds=(1.0, 10.0), weight=0.5),
    Hazard("read", "refuse", within=400),
)
"""What can befall the writers and readers of a stream, and its store."""


@dataclass(frozen=True)
class StreamScenario:
    """One source, appended by rivals; invariants I1 to I9 of the commit protocol are checked as they go."""

    name: str = "stream"
    size: int = 80
    """Rows of the source at most."""
    hazards: Sequence[Hazard] = HAZARDS

    def run(self, world: World) -> None:
        """Play it."""
        _Play(world).run()


@dataclass
class _Play:
    world: World
    source: list[int] = field(default_factory=list)
    """The offset of each row: there are gaps."""
    root: RootDocument | None = None
    """The root that was last seen in the store, and its etag."""
    etag: str = ""
    promised: int = 0
    """Rows of the commits that have returned."""
    stopping: bool = False

    def run(self) -> None:
        world = self.world
        random = Random(f"source {world.plan.seed}")
        self.source = [*accumulate(random.choice((1, 1, 1, 4)) for _ in range(world.plan.size))]
        self.contents = world.disks.contents("data", "stream")
        world.watch(self._check_root)
        for name in WRITERS:
            self._keep(name, self._write)
        for name in READERS:
            self._keep(name, self._read)
        unsteady_until = world.kernel.time + UNSTEADY_SECONDS
        while self.promised < len(self.source) and world.kernel.time < unsteady_until:
            world.sleep(0.5)
        world.be_steady()
        world.wait_until(lambda: self.promised == len(self.source), PATIENCE, "all rows are committed")
        self.stopping = True
        world.wait_until(lambda: not world.alive(), PATIENCE, "all processes have ended")
        world.sleep(max((fault.seconds for fault in world.plan.faults if fault.kind == "stray"), default=0.0))
        self._check_rows(open_stream(self.contents).document, "I1: in the end")

    # -- processes ---------------------------------------------------------------------------------------

    def _keep(self, name: str, main: Callable[[], int]) -> None:
        """Start a process, and again when it has ended badly."""
        process = self.world.start(name, main)

        def ended(process: SimulatedProcess) -> None:
            error = process.error
            if error is not None and not isinstance(error, StoreError):
                self.world.promise(False, f"{process.name} broke: {told(error)}")
            kernel = self.world.kernel
            if process.exit_code and not self.stopping:
                kernel.at(kernel.time + 0.5, lambda: None if self.stopping else self._keep(name, main))

        process.on_end(ended)

    def _write(self) -> int:
        """Be the writer until all is committed; whoever is fenced waits a little and takes over again."""
        runtime = self.world.runtime
        while not self.stopping:
            epoch = 0
            try:
                writer = self._repeat(lambda: StreamWriter(URL, schema=SCHEMA, source="log", runtime=runtime))
                epoch = writer.record.epoch
                self._append_all(writer)
            except FencedError:
                fenced = self.root is not None and self.root.record.epoch > epoch
                self.world.promise(fenced, f"I9: a writer of epoch {epoch} was fenced by nobody")
            runtime.event().wait(runtime.random() ** 3)
        return 0

    def _append_all(self, writer: StreamWriter) -> None:
        runtime = self.world.runtime
        while writer.rows < len(self.source):
            start = writer.rows
            position = self.source[start - 1] + 1 if start else None
            self.world.promise(writer.position == position, f"I1: {writer.position} goes with {start} rows")
            stop = min(len(self.source), start + 1 + int(runtime.random() * 6))
            batch = _rows(self.source[start:stop])
            self._repeat(partial(writer.append, batch, next_offset=self.source[stop - 1] + 1))
            if runtime.random() < 0.6:
                self._commit(writer)
        self._commit(writer)

    def _commit(self, writer: StreamWriter) -> None:
        rows = writer.rows
        self._repeat(writer.commit)
        self.promised = max(self.promised, rows)

    def _repeat(self, action: Callable[[], T]) -> T:
        """Do it again when the store fails, as often as :data:`TRIES`."""
        for _ in range(TRIES - 1):
            try:
                return action()
            except StoreError:
                self.world.runtime.event().wait(self.world.runtime.random())
        return action()

    def _read(self) -> int:
        """See committed rows, and the same ones in every field, also by the document of a field alone."""
        runtime, snapshot, seen = self.world.runtime, None, 0
        while not self.stopping:
            runtime.event().wait(runtime.random() * 0.1)
            try:
                snapshot = snapshot.refresh() if snapshot else open_stream(URL)
                child = open_array(URL, path="value")
                now = open_stream(URL).rows
            except StoreError:
                continue
            except FileNotFoundError:
                continue
            self.world.promise(snapshot.rows >= seen, f"I4: a reader saw {seen} rows, then {snapshot.rows}")
            self.world.promise(len(child) <= now, f"I3: a field says {len(child)} rows, the root {now}")
            seen = snapshot.rows
            try:
                for name in snapshot:
                    self._check(name, snapshot[name][:], seen, "I3: a reader")
            except StoreError:
                continue
        return 0

    # -- promises ----------------------------------------------------------------------------------------

    def _check_root(self) -> None:
        """Compare the root with what it was: called at every step, so it looks at the etag first."""
        try:
            etag = self.contents.head("zarr.json").etag
        except KeyNotFoundError:
            return
        if etag == self.etag:
            return
        root, _ = fetch_root(self.contents, "")
        assert root is not None
        before, self.root, self.etag = self.root, root, etag
        if before is not None:
            self._check_order(before.record, root.record)
        self.world.promise(
            root.record.rows >= self.promised,
            f"I7: a commit of {self.promised} rows has returned, but there are {root.record.rows}",
        )
        self._check_rows(root, "I2: the root")

    def _check_order(self, before: CommitRecord, after: CommitRecord) -> None:
        for name in ("epoch", "seq", "rows", "position"):
            was, now = getattr(before, name) or 0, getattr(after, name) or 0
            self.world.promise(was <= now, f"I4: {name} went back from {was} to {now}")

    def _check_rows(self, root: RootDocument, who: str) -> None:
        rows = root.record.rows
        position = self.source[rows - 1] + 1 if rows else None
        self.world.promise(root.record.position == position, f"{who}: {root.record.position} for {rows} rows")
        stored = open_stream(self.contents)
        for name in stored:
            self._check(name, stored[name][:rows], rows, who)

    def _check(self, name: str, values: NDArray, rows: int, who: str) -> None:
        expected = _rows(self.source[:rows])[name]
        same = bool(np.array_equal(values, expected))
        self.world.promise(same, f"{who}: {name} is {values}, expected {expected}")


def _rows(offsets: Sequence[int]) -> dict[str, NDArray]:
    offset = np.array(offsets, "i8")
    return {"offset": offset, "value": offset / 4, "frame": (offset[:, None] + np.arange(3)).astype("u1")}


STREAM = StreamScenario()
