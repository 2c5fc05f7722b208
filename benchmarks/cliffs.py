"""Where cost used to fall off a cliff: cases that users of Zarr libraries reported, with zarr-python beside.

Part ``cliffs`` of ``zarr_io.py``; by itself: ``python benchmarks/cliffs.py [--rounds 3] [--quick]``. Both
libraries do the same, one after the other in each round; ``ratio`` is zarr-python's time by ours, the median
over the rounds. A dash: it has nothing like it. Requests of 10 ms are those of a store that waits.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.storage import LocalStore as TheirLocalStore
from zarr.storage import MemoryStore as TheirMemoryStore
from zarr.storage import WrapperStore

import streamzarr as sz
from streamzarr.stores import MemoryStore
from streamzarr.stores.base import Capabilities
from streamzarr.testing.faults import LatencyStore

LATENCY = 0.01

Action = Callable[[], Any]


@dataclass(frozen=True)
class Cliff:
    """One case: ``prepare`` is not timed and returns what each library does; None: it cannot."""

    name: str
    prepare: Callable[[Path, bool], tuple[Action, Action | None]]


def files(folder: Path, name: str) -> str:
    shutil.rmtree(folder / name, ignore_errors=True)
    return str(folder / name)


# Shards -----------------------------------------------------------------------------------------------------


def shard(chunks: int) -> Callable[[Path, bool], tuple[Action, Action | None]]:
    def prepare(folder: Path, quick: bool) -> tuple[Action, Action | None]:
        count = chunks // 10 if quick else chunks
        path = files(folder, "shard")
        made = sz.create_array(
            path, shape=4 * count, chunks=4, shards=4 * count, dtype="i4", compressors=None
        )
        made[:] = np.arange(1, 4 * count + 1)
        ours, theirs = sz.open_array(path), zarr.open_array(path, mode="r")
        return lambda: ours[:], lambda: theirs[:]

    return prepare


# Shrinking --------------------------------------------------------------------------------------------------


class Distant(LatencyStore):
    """Likes requests in flight, as a bucket does."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(conditional_put=True, atomic_put=True, in_flight=16)


class TheirDistant(WrapperStore[TheirMemoryStore]):
    async def delete(self, key: str) -> None:
        await asyncio.sleep(LATENCY)
        await super().delete(key)


def shrink_unwritten(folder: Path, quick: bool) -> tuple[Action, Action | None]:
    ours = sz.create_array(Distant(MemoryStore(), LATENCY), shape=1000, chunks=1, dtype="u1")
    theirs = zarr.create_array(TheirDistant(TheirMemoryStore()), shape=(1000,), chunks=(1,), dtype="u1")
    return lambda: ours.resize(50), lambda: theirs.resize((50,))


def shrink_billion(folder: Path, quick: bool) -> tuple[Action, Action | None]:
    ours = sz.create_array("memory://", shape=(10**9,), chunks=1, dtype="u1")
    return lambda: ours.resize(50), None  # zarr-python makes a list of all keys first


def shrink_files(folder: Path, quick: bool) -> tuple[Action, Action | None]:
    count = 5000 if quick else 100_000
    paths = [files(folder, name) for name in ("ours", "theirs")]
    for path in paths:
        sz.create_array(path, shape=count, chunks=1, dtype="u1", compressors=None)
        os.mkdir(f"{path}/c")
        for index in range(count):
            Path(f"{path}/c/{index}").write_bytes(b"\1")
    ours = sz.open_array(f"file://{paths[0]}?fsync=false", mode="r+")
    theirs = zarr.open_array(paths[1], mode="r+")
    return lambda: ours.resize(10), lambda: theirs.resize((10,))


def clear_boundary(folder: Path, quick: bool) -> tuple[Action, Action | None]:
    ours = sz.create_array(
        Distant(MemoryStore(), LATENCY), data=np.ones((400, 4), "u1"), chunks=(1, 4), compressors=None
    )
    return lambda: ours.resize((400, 2), clear=True), None


def bytes_stored(folder: Path, quick: bool) -> tuple[Action, Action | None]:
    ours, theirs = [
        open_(files(folder, name), data=np.ones(2000, "u1"), chunks=(1,), compressors=None)
        for open_, name in ((sz.create_array, "ours"), (zarr.create_array, "theirs"))
    ]
    return ours.nbytes_stored, theirs.nbytes_stored


# Parts of chunks --------------------------------------------------------------------------------------------


def part(selection: Any) -> Callable[[Path, bool], tuple[Action, Action | None]]:
    def prepare(folder: Path, quick: bool) -> tuple[Action, Action | None]:
        values = np.zeros((1, 1024 if quick else 4096, 4096), "f4") + 1
        path = files(folder, "part")
        sz.create_array(path, data=values, chunks=values.shape, compressors=None)
        ours, theirs = sz.open_array(path), zarr.open_array(path, mode="r")
        return lambda: ours[selection], lambda: theirs[selection]

    return prepare


# Metadata ---------------------------------------------------------------------------------------------------


def child(folder: Path, quick: bool) -> tuple[Action, Action | None]:
    count = 500 if quick else 5000
    root = sz.create_group("memory://")
    root.create_hierarchy({f"a{n}": {"shape": (10, 10), "dtype": "f4"} for n in range(count)})
    root = sz.consolidate_metadata(root.store)
    # zarr-python leaves the consolidated metadata as they were: it consolidates anew, to do the same.
    theirs = zarr.open_group(TheirLocalStore(files(folder, "child")), mode="w")
    for n in range(count // 10):
        theirs.create_array(f"a{n}", shape=(10, 10), dtype="f4")

    def again() -> None:
        theirs.create_array("new", shape=(4,), dtype="f4", overwrite=True)
        zarr.consolidate_metadata(theirs.store)

    return lambda: root.create_array("new", shape=4, dtype="f4", overwrite=True), again


def irregular(folder: Path, quick: bool) -> tuple[Action, Action | None]:
    lengths = np.random.default_rng(0).integers(1, 50, 2000 if quick else 20_000).tolist()
    ours = sz.create_array("memory://", shape=sum(lengths), chunks=[lengths], dtype="i4")
    block = np.arange(5, dtype="i4")
    return lambda: ours.append(block), None  # before zarr-python 3.2


# Threads and processes --------------------------------------------------------------------------------------


def random_reads(threads: int) -> Callable[[Path, bool], tuple[Action, Action | None]]:
    def prepare(folder: Path, quick: bool) -> tuple[Action, Action | None]:
        path = files(folder, "random")
        sz.create_array(path, data=np.ones((2048, 2048), "f4"), chunks=(64, 64), compressors=None)
        places = (np.random.default_rng(1).integers(0, 32, (400 if quick else 2000, 2)) * 64).tolist()

        def read(array: Any) -> Action:
            def work(mine: list[list[int]]) -> None:
                for i, j in mine:
                    array[i : i + 64, j : j + 64]

            def run() -> None:
                workers = [
                    threading.Thread(target=work, args=(places[number::threads],))
                    for number in range(threads)
                ]
                for worker in workers:
                    worker.start()
                for worker in workers:
                    worker.join()

            return run

        return read(sz.open_array(path)), read(zarr.open_array(path, mode="r"))

    return prepare


CLIFFS = [
    Cliff("one shard of 20,000 chunks", shard(20_000)),
    Cliff("one shard of 80,000 chunks", shard(80_000)),
    Cliff("shrink by 950 unwritten chunks, 10 ms a request", shrink_unwritten),
    Cliff("shrink by 10^9 unwritten chunks", shrink_billion),
    Cliff("shrink by 100,000 chunk files", shrink_files),
    Cliff("clear 400 boundary chunks, 10 ms a request", clear_boundary),
    Cliff("bytes stored of 2,000 files", bytes_stored),
    Cliff("a row of a plain chunk of 64 MiB", part((0, 77))),
    Cliff("a column of it", part((0, slice(None), 77))),
    Cliff("a box of it", part((0, slice(10, 100), slice(5, 90)))),
    Cliff("a child in a consolidated group of 5,000 (zarr-python: of 500)", child),
    Cliff("append to 20,000 irregular chunks", irregular),
    Cliff("2,000 chunks at random, one thread", random_reads(1)),
    Cliff("2,000 chunks at random, two threads", random_reads(2)),
]


@contextmanager
def folder() -> Iterator[Path]:
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=place, prefix="streamzarr-cliffs-") as name:
        yield Path(name)


def timed(action: Action | None) -> float:
    if action is None:
        return float("nan")
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(rounds: int, quick: bool) -> dict[str, list[tuple[float, float]]]:
    """Return the seconds of ours and of zarr-python's, of each round."""
    seen: dict[str, list[tuple[float, float]]] = {}
    for cliff in CLIFFS:
        with folder() as place:
            for _ in range(rounds):
                ours, theirs = cliff.prepare(place, quick)
                seen.setdefault(cliff.name, []).append((timed(ours), timed(theirs)))
        show(cliff.name, seen[cliff.name])
    return seen


def head() -> None:
    print("\n### Cliffs, ms\n\n| case | ours | zarr-python | ratio |\n|---|---|---|---|")


def show(name: str, times: list[tuple[float, float]]) -> None:
    ours = statistics.median(mine for mine, _ in times) * 1e3
    theirs = statistics.median(other for _, other in times) * 1e3
    ratio = statistics.median(other / mine for mine, other in times)
    shown = ["-" if value != value else f"{value:,.1f}" for value in (theirs, ratio)]
    print(f"| {name} | {ours:,.2f} | {shown[0]} | {shown[1]} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the size")
    options = parser.parse_args()
    head()
    measure(options.rounds, options.quick)


if __name__ == "__main__":
    sys.exit(main())
