"""Rechunking beside dask, rechunker and cubed: maps to time series and back, under a bound of memory.

Everybody reads the same Zarr v2 array and writes one of other chunks, zstd at level 1, with two workers on
one file system; each trial is a fresh process. ``start`` is from its beginning until the workers stand ready,
and ``wall`` from there, ``submit`` in our case, until all data is written; cubed starts its processes for
each computation, so that this is in its wall time. ``tree`` is the peak memory of all processes of a trial,
``process`` that of the largest. Every result is held to numpy on sampled chunks. Rounds are interleaved,
because machines drift; a ratio is the median of the rounds' own, above 1 where ours was faster.

``--memory`` is what a worker process may hold in all. Cubed plans by it, ours and rechunker by it less what
an interpreter holds; dask's workers are killed beyond it, and dask's threads know no bound. The peers run in
environments of their own with the versions of ``rechunkers/pins.py``, installed at first use; one
that cannot be had is left out.

    python benchmarks/rechunk.py --sizes small --rounds 3 --folder /dev/shm
    python benchmarks/rechunk.py --sizes small,large --peers ours,cubed --json
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from environments import CACHE, interpreter, why_not
from rechunkers.case import DIRECTIONS, SIZES, Case
from rechunkers.field import Field
from rechunkers.memory import Peak, PeakSampler
from rechunkers.pins import PINS
from rechunkers.trial import Trial

SCRIPTS = Path(__file__).parent / "rechunkers"
WORKERS = 2
IDLE = 96_000_000
"""Bytes that the interpreter of a worker holds with its libraries, about the same with everybody."""


@dataclass(frozen=True, slots=True)
class Peer:
    script: str
    environment: str | None
    """``None``: this interpreter."""
    share: int = 1
    """Times ``--memory`` that its workers may hold."""


PEERS = {
    "ours": Peer("with_streamzarr.py", None),
    "dask-threads": Peer("with_dask.py", "dask"),
    "distributed": Peer("with_distributed.py", "dask"),
    "distributed-x4": Peer("with_distributed.py", "dask", share=4),
    "rechunker": Peer("with_rechunker.py", "rechunker"),
    "cubed": Peer("with_cubed.py", "cubed"),
}


class TrialError(Exception):
    """A trial that ended without a result, or with a wrong one."""


@dataclass(frozen=True, slots=True)
class Result:
    start: float
    wall: float
    peak: Peak


Results = dict[str, list[Result | TrialError]]


def prepare(names: list[str], folder: Path) -> dict[str, Path]:
    """Return the interpreters of the peers that can be had."""
    pythons: dict[str, Path] = {}
    for name in names:
        environment = PEERS[name].environment
        try:
            if environment is None:
                pythons[name] = Path(sys.executable)
            else:
                pythons[name] = interpreter(folder / environment, PINS[environment])
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{name} is left out: {why_not(error)}", file=sys.stderr)
    return pythons


def run(python: Path, peer: Peer, trial: Trial, timeout: float) -> Result:
    """Carry out one trial in a fresh process."""
    environment = {**os.environ}
    if peer.environment is not None:
        environment.pop("PYTHONPATH", None)
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [python, SCRIPTS / peer.script, trial.argument()],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        )
        with PeakSampler(process.pid) as sampler:
            try:
                output, _ = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired as error:
                stop(process)
                raise TrialError(f"not done after {timeout:.0f} s") from error
        if process.returncode:
            errors.seek(0)
            lines = [line.strip() for line in errors if line[:1].strip()]  # not those of a traceback
            raise TrialError(lines[-1][:110] if lines else f"exit code {process.returncode}")
    told = json.loads(output.splitlines()[-1])
    return Result(told["ready"] - began, told["done"] - told["ready"], sampler.peak)


def stop(process: subprocess.Popen[str]) -> None:
    """End a process with all that it started."""
    root = psutil.Process(process.pid)
    for each in [root, *root.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.communicate()


def rounds_of(case: Case, pythons: dict[str, Path], folder: Path, options: argparse.Namespace) -> Results:
    """Run all peers in turn, again and again; one that failed is not asked again."""
    field = Field(case.shape)
    source, used = folder / "source.zarr", folder / "run"
    case.make_source(str(source), field)
    results: Results = {name: [] for name in pythons}
    for number in range(options.rounds):
        for name, python in pythons.items():
            if any(isinstance(result, TrialError) for result in results[name]):
                continue
            used.mkdir()
            memory = PEERS[name].share * options.memory * 1_000_000
            trial = Trial(str(source), str(used), case.chunks[1], memory, IDLE, WORKERS)
            outcome: Result | TrialError
            try:
                outcome = run(python, PEERS[name], trial, options.timeout)
                if wrong := case.wrong(trial.target, field, seed=number):
                    raise TrialError(wrong)
            except TrialError as error:
                outcome = error
            shutil.rmtree(used)
            results[name].append(outcome)
            said = f"{outcome.wall:.1f} s" if isinstance(outcome, Result) else f"failed: {outcome}"
            print(f"{case}, round {number + 1}, {name}: {said}", file=sys.stderr)
    shutil.rmtree(source)
    return results


def summary(case: Case, results: Results) -> Iterator[dict[str, Any]]:
    """Yield a row for each peer: medians over its rounds, and its time as a ratio to ours in each round."""
    for name, outcomes in results.items():
        row = {"size": case.size, "direction": case.direction, "peer": name}
        if failed := [each for each in outcomes if isinstance(each, TrialError)]:
            yield {**row, "failed": str(failed[0])}
            continue
        done = [each for each in outcomes if isinstance(each, Result)]
        ratios = [
            theirs.wall / ours.wall
            for theirs, ours in zip(done, results.get("ours", []), strict=False)
            if isinstance(ours, Result)
        ]
        yield {
            **row,
            "start": statistics.median(each.start for each in done),
            "wall": statistics.median(each.wall for each in done),
            "wall_min": min(each.wall for each in done),
            "wall_max": max(each.wall for each in done),
            "tree_mb": max(each.peak.tree for each in done) / 1e6,
            "process_mb": max(each.peak.process for each in done) / 1e6,
            "ratio": statistics.median(ratios) if ratios else None,
        }


def show(rows: list[dict[str, Any]]) -> None:
    print(
        f"{'case':18} {'peer':15} {'start s':>7} {'wall s':>7} {'min-max':>12} "
        f"{'tree MB':>8} {'process MB':>10} {'ratio':>6}"
    )
    for row in rows:
        name = f"{row['size']} {row['direction']:11} {row['peer']:15}"
        if "failed" in row:
            print(f"{name} failed: {row['failed']}")
            continue
        span = f"{row['wall_min']:.1f}-{row['wall_max']:.1f}"
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
        print(
            f"{name} {row['start']:7.1f} {row['wall']:7.1f} {span:>12} "
            f"{row['tree_mb']:8.0f} {row['process_mb']:10.0f} {ratio:>6}"
        )


def some_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """Return what reads names separated by commas."""

    def read(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names).difference(known):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: expected some of {', '.join(known)}")
        return names

    return read


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", help="where arrays are written; default: a temporary folder")
    parser.add_argument("--sizes", type=some_of(SIZES), default=["small"], help=f"of {','.join(SIZES)}")
    parser.add_argument("--peers", type=some_of(PEERS), default=list(PEERS), help=f"of {','.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, default=256, help="MB that a worker process may hold")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds, of one trial")
    parser.add_argument("--environments", type=Path, default=CACHE, help="of the peers; default: %(default)s")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    pythons = prepare(options.peers, options.environments)
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        for size in options.sizes:
            for direction in DIRECTIONS:
                case = Case(size, direction)
                rows += summary(case, rounds_of(case, pythons, Path(name), options))
    if options.json:
        print(json.dumps({"memory_mb": options.memory, "load": os.getloadavg(), "rows": rows}, indent=2))
    else:
        show(rows)


if __name__ == "__main__":
    main()
