"""Storing topics of Kafka beside bare loops and the peers: who does how many rows a second."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from environments import interpreter, why_not
from ingest.pins import PINS
from ingest.trial import Trial
from ingest.workloads import PARTITIONS, W3, W4, Workload, total, values

from streamzarr.queue import NewRecord, open_broker

SCRIPTS = Path(__file__).parent
BATCH = 500
"""Messages that follow one another in a partition; of tiles ten."""


class ContestError(Exception):
    """A trial that ended without a result, or with a wrong one."""


@dataclass(frozen=True, slots=True)
class Contestant:
    script: str
    environment: str = ""
    """Empty: this interpreter."""
    share: float = 1.0
    """Of the topic that it takes: some are a hundred times as slow as others."""
    stores: bool = True

    def joins(self, workload: Workload) -> bool:
        """Tell whether this is a workload for it."""
        return {
            "with_codec.py": workload in (W3, W4),
            "with_feed.py": workload is not W4,
            "with_chain.py": workload is W4,
        }.get(self.script, True)


CONTESTANTS = {
    "loop": Contestant("with_loop.py", stores=False),
    "codec": Contestant("with_codec.py", stores=False),
    "ours": Contestant("with_feed.py"),
    "ours, a chain": Contestant("with_chain.py"),
    "by hand": Contestant("with_zarr.py"),
    "quix": Contestant("with_quix.py", "feeds-quix", 0.1),
    "arroyo": Contestant("with_arroyo.py", "feeds-arroyo", 0.1),
    "bytewax": Contestant("with_bytewax.py", "feeds-bytewax", 0.1),
}


def interpreters(names: Sequence[str], folder: Path) -> dict[str, Path]:
    """Return the interpreters of the contestants that can be had, and tell of the others."""
    found: dict[str, Path] = {}
    for name in names:
        environment = CONTESTANTS[name].environment
        try:
            python = interpreter(folder / environment, PINS[environment]) if environment else sys.executable
            found[name] = Path(python)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{name} is left out: {why_not(error)}", file=sys.stderr)
    return found


@contextmanager
def topic(url: str, workload: Workload, messages: int) -> Iterator[str]:
    """Have a topic of so many messages, evenly over its partitions."""
    name = f"bench-{workload.name}-{uuid.uuid4().hex[:8]}"
    batch = 10 if workload is W4 else BATCH
    with open_broker(url) as broker:
        broker.create_topic(name, PARTITIONS)
        try:
            with broker.producer() as producer:
                found, partition = values(workload, messages), 0
                while some := list(islice(found, batch)):
                    producer.send(name, [NewRecord(value, partition=partition) for value in some])
                    partition = (partition + 1) % PARTITIONS
                producer.flush(120)
            yield name
        finally:
            broker.delete_topic(name)


@dataclass(frozen=True, slots=True)
class Result:
    rows_s: float
    cpu_us: float
    """Processor time a row, of all threads of the process."""


Results = dict[str, list[Result] | ContestError]


def contest(
    servers: str,
    workload: Workload,
    messages: int,
    rounds: int,
    pythons: Mapping[str, Path],
    folder: Path | None,
    timeout: float,
) -> Results:
    """Let everybody store the topic in turn, again and again; return what came of each round."""
    pythons = {name: python for name, python in pythons.items() if CONTESTANTS[name].joins(workload)}
    results: Results = {name: [] for name in pythons}
    expected = total(workload, messages)
    with topic(f"kafka://{servers}", workload, messages) as name:
        for _ in range(rounds):
            for who, python in pythons.items():
                done = results[who]
                if isinstance(done, ContestError):
                    continue
                count = max(1, math.ceil(messages * CONTESTANTS[who].share))
                below = Path(tempfile.mkdtemp(dir=folder, prefix="ingest_"))
                trial = Trial(
                    servers, name, f"bench-{uuid.uuid4().hex}", workload.name, count, str(below / "to.zarr")
                )
                try:
                    told = _run(trial, CONTESTANTS[who].script, python, timeout)
                    _check(told, trial, CONTESTANTS[who], expected if count == messages else None)
                    done.append(Result(told["rows_s"], told["cpu_us"]))
                except ContestError as error:
                    results[who] = error
                finally:
                    shutil.rmtree(below, ignore_errors=True)
    return results


def _run(trial: Trial, script: str, python: Path, timeout: float) -> dict[str, float]:
    path = [str(SCRIPTS.parent), *([str(SCRIPTS.parents[1])] if python == Path(sys.executable) else [])]
    try:
        done = subprocess.run(
            [python, SCRIPTS / script, trial.argument()],
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ContestError(f"not done after {timeout:.0f} s") from error
    if done.returncode:
        raise ContestError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200])
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def _check(told: dict[str, float], trial: Trial, who: Contestant, expected: float | None) -> None:
    rows = trial.messages * trial.workload.rows
    if told["rows"] != rows:
        raise ContestError(f"{told['rows']:,} rows, expected {rows:,}")
    if who.stores and expected is not None and not math.isclose(told["total"], expected, rel_tol=1e-9):
        raise ContestError(f"a sum of {told['total']}, expected {expected}")
