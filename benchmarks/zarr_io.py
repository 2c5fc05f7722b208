"""The array layer against its peers: zarr-python, zarr-python with the zarrs pipeline, tensorstore.

Equal work: one array of float32 on tmpfs, Zarr v3, the same bytes for everyone, nobody syncs to disk (but for
``--durable``). Rounds are interleaved, because machines drift: read ratios, not rates. ``limit`` decodes or
encodes the same chunks from memory with numcodecs on two threads, without any files.

    python benchmarks/zarr_io.py                        # everything, about ten minutes
    python benchmarks/zarr_io.py --quick                # a smaller array and fewer rounds
    python benchmarks/zarr_io.py read --codecs zstd --kib 16 --peers ours,tensorstore
    python benchmarks/zarr_io.py --json results.json
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cliffs
import numcodecs
import numpy as np
import processes
import tensorstore
import zarr
import zarrs  # noqa: F401 - registers its pipeline

import streamzarr as sz

CODECS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "zstd": [{"name": "zstd", "configuration": {"level": 1, "checksum": False}}],
    "blosc": [
        {
            "name": "blosc",
            "configuration": {
                "cname": "lz4",
                "clevel": 5,
                "shuffle": "shuffle",
                "typesize": 4,
                "blocksize": 0,
            },
        }
    ],
    "gzip": [{"name": "gzip", "configuration": {"level": 5}}],
}
NUMCODECS = {
    "zstd": numcodecs.Zstd(1),
    "blosc": numcodecs.Blosc("lz4", 5, 1),
    "gzip": numcodecs.GZip(5),
}
SIDES = {16: 64, 256: 256, 4096: 1024}
"""Side of a square chunk of float32 by its size in KiB."""
PEERS = ("ours", "zarr", "zarrs", "tensorstore", "ours-into", "ts-into", "limit")
"""``-into``: reading into an array that is there; the others make one for each read, of fresh pages."""
NOT_WRITING = ("limit", "ours-into", "ts-into")
Cell = tuple[str, int]
Times = dict[str, list[float]]


def field(n: int) -> np.ndarray:
    """A smooth field with rounded noise: compresses about threefold, as measurements do."""
    rng = np.random.default_rng(0)
    wave = np.sin(np.linspace(0, 60, n, dtype="f4"))
    noise = np.round(rng.normal(0, 1, (n, n)).astype("f4")) / 64
    return (np.round((wave[:, None] * 20 + wave[None, :] * 20) * 16) / 16 + noise).astype("f4")


def describe(
    shape: tuple[int, ...], chunks: tuple[int, ...], codecs: list[dict[str, Any]], dtype: str = "float32"
) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": codecs,
        "attributes": {},
    }


LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
ZSTD = [LITTLE, *CODECS["zstd"]]


def make(path: Path, document: dict[str, Any]) -> str:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    (path / "zarr.json").write_text(json.dumps(document))
    return str(path)


# What each peer does ----------------------------------------------------------------------------------------


def open_ours(path: str, *, durable: bool = False) -> Any:
    return sz.open_array(path if durable else f"file://{path}?fsync=false", mode="r+")


def open_zarr(path: str) -> Any:
    return zarr.open_array(path, mode="r+")


def open_zarrs(path: str) -> Any:
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return zarr.open_array(path, mode="r+")


def open_tensorstore(path: str, *, durable: bool = False) -> Any:
    context = tensorstore.Context({"file_io_sync": durable, "cache_pool": {"total_bytes_limit": 0}})
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}
    return tensorstore.open(spec, context=context, open=True).result()


OPEN: dict[str, Callable[[str], Any]] = {
    "ours": open_ours,
    "ours-into": open_ours,
    "zarr": open_zarr,
    "zarrs": open_zarrs,
    "tensorstore": open_tensorstore,
    "ts-into": open_tensorstore,
}


def reader(peer: str, path: str, selection: Any = ...) -> Callable[[], Any]:
    array = OPEN[peer](path)
    if peer == "tensorstore":
        return lambda: array[selection].read().result()
    if peer == "ours-into":
        into = np.empty(array.shape, array.dtype)
        return lambda: array.read(selection, out=into)
    if peer == "ts-into":
        out = np.empty(array[selection].shape, array.dtype.numpy_dtype)
        view = tensorstore.array(out)
        return lambda: view.write(array[selection]).result()
    return lambda: array[selection]


def writer(peer: str, path: str, values: np.ndarray) -> Callable[[], Any]:
    array = OPEN[peer](path)
    if peer == "tensorstore":
        return lambda: array.write(values).result()

    def write() -> None:
        array[...] = values

    return write


def on_two_threads(action: Callable[[Any], Any], items: Iterable[Any]) -> None:
    source, turn = iter(items), threading.Lock()

    def work() -> None:
        while True:
            with turn:
                group = list(itertools.islice(source, 8))
            if not group:
                return
            for item in group:
                action(item)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def limit(codec: str, side: int, values: np.ndarray, *, encode: bool) -> Callable[[], Any]:
    n = min(len(values), 2048) // side * side or side
    tiles = [
        np.ascontiguousarray(values[i : i + side, j : j + side])
        for i in range(0, n, side)
        for j in range(0, n, side)
    ]
    repeat = (len(values) // n) ** 2
    scratch = threading.local()

    def target() -> np.ndarray:
        if not hasattr(scratch, "out"):
            scratch.out = np.empty((side, side), "f4")
        return scratch.out

    if codec == "none":
        return lambda: on_two_threads(lambda tile: np.copyto(target(), tile), tiles * repeat)
    each = NUMCODECS[codec]
    if encode:
        return lambda: on_two_threads(each.encode, tiles * repeat)
    stored = [each.encode(tile) for tile in tiles]
    return lambda: on_two_threads(lambda data: each.decode(data, target()), stored * repeat)


# Measuring --------------------------------------------------------------------------------------------------


class Clock:
    """Wall time, or processor time of all threads, which a loaded machine disturbs less."""

    now: Callable[[], float] = staticmethod(time.perf_counter)
    of: Callable[[list[float]], float] = staticmethod(statistics.median)
    """What of several rounds counts: the median, or the least processor time."""


def timed(action: Callable[[], Any]) -> float:
    start = Clock.now()
    action()
    return Clock.now() - start


def interleave(
    actions: dict[str, Callable[[], Any]], rounds: int, before: Callable[[str], Any] = str
) -> Times:
    times: Times = {name: [] for name in actions}
    for number in range(rounds + 1):
        for name, action in actions.items():
            before(name)
            took = timed(action)
            if number:  # the first round warms up
                times[name].append(took)
    return times


def reads(folder: Path, cell: Cell, options: argparse.Namespace) -> Times:
    codec, kib = cell
    side, values = SIDES[kib], options.values
    path = make(folder / "a", describe(values.shape, (side, side), [LITTLE, *CODECS[codec]]))
    open_zarrs(path)[...] = values
    actions = {peer: reader(peer, path) for peer in options.peers if peer != "limit"}
    for peer, action in actions.items():
        got = action()
        assert got is None or np.array_equal(np.asarray(got), values), peer
    if "limit" in options.peers:
        actions["limit"] = limit(codec, side, values, encode=False)
    return interleave(actions, options.rounds)


def writes(folder: Path, cell: Cell, options: argparse.Namespace) -> Times:
    codec, kib = cell
    side, values = SIDES[kib], options.values
    document = describe(values.shape, (side, side), [LITTLE, *CODECS[codec]])
    paths = {peer: make(folder / peer, document) for peer in options.peers if peer not in NOT_WRITING}
    actions = {peer: writer(peer, path, values) for peer, path in paths.items()}

    def clean(peer: str) -> None:
        if peer in paths:
            make(Path(paths[peer]), document)

    if "limit" in options.peers:
        actions["limit"] = limit(codec, side, values, encode=True)
    times = interleave(actions, options.rounds, clean)
    for peer, path in paths.items():
        assert np.array_equal(open_tensorstore(path).read().result(), values), peer
    return times


def durable_writes(folder: Path, cell: Cell, options: argparse.Namespace) -> Times:
    codec, kib = cell
    side, values = SIDES[kib], options.values[:4096, :4096]
    document = describe(values.shape, (side, side), [LITTLE, *CODECS[codec]])
    ours, theirs = make(folder / "ours", document), make(folder / "ts", document)
    a, b = open_ours(ours, durable=True), open_tensorstore(theirs, durable=True)

    def write() -> None:
        a[...] = values

    actions = {"ours": write, "tensorstore": lambda: b.write(values).result()}
    return interleave(
        actions, options.rounds, lambda peer: make(Path(ours if peer == "ours" else theirs), document)
    )


def random_reads(folder: Path, cell: Cell, options: argparse.Namespace) -> Times:
    """Seconds per read of one whole chunk, in random order."""
    codec, kib = cell
    side, values = SIDES[kib], options.values
    path = make(folder / "a", describe(values.shape, (side, side), [LITTLE, *CODECS[codec]]))
    open_zarrs(path)[...] = values
    return _random(path, len(values) // side, side, options)


def sharded_reads(folder: Path, cell: Cell, options: argparse.Namespace) -> Times:
    """Seconds per read of one inner chunk of 16 KiB in shards of 4 MiB."""
    codec, kib = cell
    side, values = SIDES[kib], options.values
    index = [LITTLE, {"name": "crc32c"}]
    sharding = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [side, side],
            "codecs": [LITTLE, *CODECS[codec]],
            "index_codecs": index,
            "index_location": "end",
        },
    }
    path = make(folder / "a", describe(values.shape, (1024, 1024), [sharding]))
    open_zarrs(path)[...] = values
    return _random(path, len(values) // side, side, options)


def _random(path: str, n: int, side: int, options: argparse.Namespace) -> Times:
    places = np.random.default_rng(1).integers(0, n, (options.reads, 2)) * side
    actions: dict[str, Callable[[], Any]] = {}
    singles: Times = {}

    def single(peer: str) -> Callable[[], Any]:
        array = OPEN[peer](path)
        fetch: Callable[[Any], Any] = array.__getitem__
        if peer == "tensorstore":
            fetch = lambda where: array[where].read().result()  # noqa: E731
        found = singles[peer] = []

        def run() -> None:
            for i, j in places.tolist():
                where = (slice(i, i + side), slice(j, j + side))
                start = Clock.now()
                fetch(where)
                found.append(Clock.now() - start)

        return run

    for peer in options.peers:
        if peer not in NOT_WRITING:
            actions[peer] = single(peer)
    interleave(actions, options.rounds)
    return {peer: found[options.reads :] for peer, found in singles.items()}


def appends(folder: Path, cell: Cell, options: argparse.Namespace) -> Times:
    """Seconds per append of 1000 rows of 16 float64 to chunks of 10,000 rows, zstd level 1."""
    block = np.round(np.random.default_rng(2).normal(0, 1, (1000, 16)), 2)
    document = describe((0, 16), (10_000, 16), [LITTLE, *CODECS["zstd"]], "float64")
    count = options.appends
    times: Times = {}
    for number in range(options.rounds + 1):
        for peer in options.peers:
            if peer in NOT_WRITING:
                continue
            array = OPEN[peer](make(folder / peer, document))
            start = Clock.now()
            if peer == "tensorstore":
                for i in range(count):
                    array = array.resize(exclusive_max=[(i + 1) * 1000, 16]).result()
                    array[i * 1000 : (i + 1) * 1000].write(block).result()
            else:
                for _ in range(count):
                    array.append(block)
            if number:
                times.setdefault(peer, []).append((Clock.now() - start) / count)
    return times


# Tables -----------------------------------------------------------------------------------------------------


def show(title: str, results: dict[str, Times], scale: Callable[[float], float], peers: list[str]) -> None:
    """Print one row per cell; ``best`` is the fastest peer; above 1 ours leads.

    Rates are medians over the rounds, ratios medians of each round's ratio: what a machine is busy with
    changes from round to round, and meets all who take part in one.
    """
    print(f"\n### {title}\n")
    print(
        "| cell |"
        + "".join(f" {peer} |" for peer in peers)
        + " ours/best | into/ts-into | ours/zarr | ours/limit |"
    )
    print("|---|" + "---|" * (len(peers) + 4))
    for cell, times in results.items():
        middle = {peer: Clock.of(found) for peer, found in times.items()}
        rivals = {peer: took for peer, took in middle.items() if peer not in ("ours", *NOT_WRITING)}
        best = min(rivals, key=rivals.__getitem__, default=None)
        row = "".join(f" {scale(middle[p]):,.1f} |" if p in middle else " - |" for p in peers)

        def ratio(peer: str | None, ours: str = "ours", times: Times = times) -> str:
            if ours not in times or peer not in times:
                return "-"
            pairs = zip(times[ours], times[peer], strict=True)
            return f"{statistics.median(theirs / mine for mine, theirs in pairs):.2f}"

        print(
            f"| {cell} |{row} {ratio(best)} ({best}) | {ratio('ts-into', 'ours-into')} "
            f"| {ratio('zarr')} | {ratio('limit')} |",
            flush=True,
        )


PARTS: dict[str, Any] = {
    "read": ("Full read, MB/s", reads, True),
    "write": ("Full write, MB/s", writes, True),
    "random": ("One chunk at random, us", random_reads, False),
    "sharded": ("One inner chunk at random from shards of 4 MiB, us", sharded_reads, False),
    "append": ("Append 1000 x 16 float64, us", appends, False),
    "durable": ("Full write with fsync, 64 MiB, MB/s", durable_writes, True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}, process, cliffs (default: all)")
    parser.add_argument("--codecs", default="none,zstd,blosc,gzip")
    parser.add_argument("--kib", default="16,256,4096", help="chunk sizes in KiB")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--side", type=int, default=8192, help="of the square array of float32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="--side 4096 --rounds 3")
    parser.add_argument("--cpu", action="store_true", help="measure processor time: for a loaded machine")
    parser.add_argument("--folder", default="/dev/shm" if os.path.isdir("/dev/shm") else None)
    parser.add_argument("--json", help="write every time, in seconds, to this file")
    options = parser.parse_args()
    if options.quick:
        options.side, options.rounds = 4096, 3
    if options.cpu:
        Clock.now, Clock.of = staticmethod(time.process_time), staticmethod(min)
    options.peers = options.peers.split(",")
    options.reads, options.appends = (300, 50) if options.quick else (1000, 200)
    options.values = field(options.side)
    parts = options.parts or [*PARTS, "process", "cliffs"]
    cells = list(itertools.product(options.codecs.split(","), map(int, options.kib.split(","))))
    everything: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="streamzarr-bench-") as name:
        for part in parts:
            if part == "process":
                path = make(Path(name) / "a", describe(options.values.shape, (256, 256), ZSTD))
                open_zarrs(path)[...] = options.values
                everything["imports"] = processes.imports(options.rounds)
                everything["peaks"] = processes.peaks(path)
                print("\n### Import, ms over bare Python\n\n", everything["imports"])
                print("\n### Peak memory of a full read, MiB\n\n", everything["peaks"])
                continue
            if part == "cliffs":
                cliffs.head()
                everything["cliffs"] = cliffs.measure(options.rounds, options.quick)
                continue
            title, measure, is_rate = PARTS[part]
            wanted = cells
            if part in ("random", "sharded"):
                wanted = [cell for cell in cells if cell[1] == 16 and cell[0] in ("none", "zstd")]
            elif part == "append":
                wanted = [("zstd", 1250)]
            elif part == "durable":
                wanted = [cell for cell in cells if cell == ("zstd", 256)]
            nbytes = options.values.nbytes if part != "durable" else min(options.values.nbytes, 64 << 20)
            results = {f"{codec}/{kib}K": measure(Path(name), (codec, kib), options) for codec, kib in wanted}
            everything[part] = results
            scale = (lambda took, n=nbytes: n / took / 1e6) if is_rate else (lambda took: took * 1e6)
            show(title, results, scale, options.peers)
    if options.json:
        Path(options.json).write_text(json.dumps(everything))


if __name__ == "__main__":
    main()
