"""A scenario of one stream: writers that take it over from each other, readers and upkeep, all real code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from random import Random
from typing import TypeVar

from streamzarr.errors import ConfigError, FencedError, KeyNotFoundError, NodeNotFoundError, StoreError
from streamzarr.stream import Snapshot, StreamWriter, check, compact, open_stream, repair, retain
from streamzarr.testing.simulation.errors import told
from streamzarr.testing.simulation.faults import WORLD, Hazard
from streamzarr.testing.simulation.process import SimulatedProcess
from streamzarr.testing.simulation.stream_promises import (
    ADDED,
    EXTRA,
    KEPT,
    SCHEMA,
    StreamPromises,
    values_of,
)
from streamzarr.testing.simulation.world import World
from streamzarr.zarr.api import open_array

T = TypeVar("T")

URL = "sim://data/stream"
WRITERS, READERS, KEEPERS = ("writer-1", "writer-2"), ("reader-1", "reader-2"), ("keeper-1", "keeper-2")
TRIES = 3
"""How often a writer repeats what fails before it gives up and begins anew."""
PATIENCE = 400.0
UNSTEADY_SECONDS = 60.0
"""After so long at the latest no more faults happen."""

HAZARDS: tuple[Hazard, ...] = (
    *(Hazard(name, "kill", within=400, weight=3.0) for name in WRITERS),
    *(Hazard(name, "freeze", within=400, seconds=(0.5, 40.0), weight=3.0) for name in WRITERS),
    *(Hazard(name, "freeze", within=200, seconds=(0.5, 20.0)) for name in READERS),
    *(Hazard(name, "kill", within=200, weight=2.0) for name in KEEPERS),
    *(Hazard(name, "freeze", within=200, seconds=(0.5, 20.0), weight=2.0) for name in KEEPERS),
    Hazard(WORLD, "jump", within=1000, seconds=(-7200.0, 7200.0), weight=0.5),
    *(Hazard("write", kind, within=200, weight=2.0) for kind in ("refuse", "lose")),
    Hazard("write", "late", within=200, seconds=(1.0, 30.0), weight=2.0),
    Hazard("write", "stray", within=200, seconds=(0.01, 30.0), weight=3.0),
    Hazard("write", "full", within=200, seconds=(1.0, 10.0), weight=0.5),
    Hazard("read", "refuse", within=400),
)
"""What can befall those who write, read and keep a stream, and its store."""


@dataclass(frozen=True)
class StreamScenario:
    """One source, appended by rivals; invariants I1 to I9 of the commit protocol are checked as they go."""

    name: str = "stream"
    size: int = 80
    """Rows of the source at most."""
    hazards: Sequence[Hazard] = HAZARDS

    def run(self, world: World) -> None:
        """Play it."""
        random = Random(f"source {world.plan.seed}")
        source = [*accumulate(random.choice((1, 1, 1, 4)) for _ in range(world.plan.size))]
        _Play(world, StreamPromises(world, source, world.disks.contents("data", "stream"))).run()


@dataclass
class _Play:
    world: World
    promises: StreamPromises
    stopping: bool = False

    def run(self) -> None:
        world, promises = self.world, self.promises
        world.watch(promises.look)
        for names, main in ((WRITERS, self._write), (READERS, self._read), (KEEPERS, self._keep_up)):
            for name in names:
                self._keep(name, main)
        unsteady_until, rows = world.kernel.time + UNSTEADY_SECONDS, len(promises.source)
        while promises.rows < rows and world.kernel.time < unsteady_until:
            world.sleep(0.5)
        world.be_steady()
        world.wait_until(lambda: promises.rows == rows, PATIENCE, "all rows are committed")
        self.stopping = True
        world.wait_until(lambda: not world.alive(), PATIENCE, "all processes have ended")
        world.sleep(max((fault.seconds for fault in world.plan.faults if fault.kind == "stray"), default=0.0))
        promises.check_snapshot(open_stream(promises.contents), "I1: in the end")
        promises.check_findings(check(promises.contents))

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
                writer = self._repeat(self._take_over)
                epoch = writer.record.epoch
                self._append_all(writer)
            except FencedError:
                root = self.promises.root
                fenced = root is not None and root.record.epoch > epoch
                self.world.promise(fenced, f"I9: a writer of epoch {epoch} was fenced by nobody")
            runtime.event().wait(runtime.random() ** 3)
        return 0

    def _take_over(self) -> StreamWriter:
        """Make the stream if it is not there; it may have one more field if it is."""
        take = partial(StreamWriter, URL, source="log", runtime=self.world.runtime)
        try:
            return take()
        except NodeNotFoundError:
            try:
                return take(schema=SCHEMA)
            except ConfigError:  # somebody else has made it, and added the field
                return take()

    def _append_all(self, writer: StreamWriter) -> None:
        runtime, source = self.world.runtime, self.promises.source
        while writer.rows < len(source):
            start = writer.rows
            position = self.promises.position(start)
            self.world.promise(writer.position == position, f"I1: {writer.position} goes with {start} rows")
            if EXTRA not in writer.fields and runtime.random() < 0.1:
                self._grow(writer)
            stop = min(len(source), start + 1 + int(runtime.random() * 6))
            values = values_of(source[start:stop])
            batch = {name: values[name] for name in writer.fields}
            self._repeat(partial(writer.append, batch, next_offset=source[stop - 1] + 1))
            if runtime.random() < 0.6:
                self._commit(writer)
        self._commit(writer)

    def _grow(self, writer: StreamWriter) -> None:
        self.promises.filled = max(self.promises.filled, writer.rows)
        try:
            writer.add_field(EXTRA, ADDED)
        except StoreError:
            self._commit(writer)  # completes it, if it was begun

    def _commit(self, writer: StreamWriter) -> None:
        rows = writer.rows
        self._repeat(writer.commit)
        self.promises.rows = max(self.promises.rows, rows)

    def _repeat(self, action: Callable[[], T]) -> T:
        """Do it again when the store fails, as often as :data:`TRIES`."""
        for _ in range(TRIES - 1):
            try:
                return action()
            except StoreError:
                self.world.runtime.event().wait(self.world.runtime.random())
        return action()

    def _keep_up(self) -> int:
        """Give rows up, gather chunks, and repair what needs no repair."""
        runtime = self.world.runtime
        while not self.stopping:
            runtime.event().wait(runtime.random() ** 2 * 0.2)
            try:
                match int(runtime.random() * 5):
                    case 0 | 1:
                        retain(URL, rows=KEPT + int(runtime.random() * 40))
                    case 2 | 3:
                        compact(URL, chunks=1 + int(runtime.random() * 3), delete=runtime.random() < 0.5)
                    case _:
                        self.promises.check_findings(repair(URL))
            except (StoreError, NodeNotFoundError):
                continue
        return 0

    def _read(self) -> int:
        """See committed rows, and the same ones in every field, also by the document of a field alone."""
        runtime, snapshot, seen = self.world.runtime, None, 0
        while not self.stopping:
            runtime.event().wait(runtime.random() * 0.1)
            try:
                snapshot = snapshot.refresh() if snapshot else open_stream(URL)
                child = open_array(URL, path="value")
                now = open_stream(URL).rows
            except (StoreError, NodeNotFoundError):
                continue
            self.world.promise(snapshot.rows >= seen, f"I4: a reader saw {seen} rows, then {snapshot.rows}")
            self.world.promise(len(child) <= now, f"I3: a field says {len(child)} rows, the root {now}")
            seen = snapshot.rows
            self._look_at(snapshot)
        return 0

    def _look_at(self, snapshot: Snapshot) -> None:
        try:
            self.promises.check_values(snapshot, "I3: a reader")
        except KeyNotFoundError as error:
            now = open_stream(self.promises.contents).first_row
            self.world.promise(now > snapshot.first_row, f"I5: committed rows are gone: {told(error)}")
        except StoreError:
            return


STREAM = StreamScenario()
