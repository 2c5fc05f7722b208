"""Reading a topic of Kafka beside a bare loop and the peers: who does how many records a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from environments import interpreter, why_not
from flows.pins import PINS
from flows.trial import Reading, Trial

from streamzarr.queue import NewRecord, open_broker

SCRIPTS = Path(__file__).parent
PARTITIONS = 4
BATCH = 500
STEP = 0.25
"""Between the values of two records, so that sums are exact."""


class ContestError(Exception):
    """A trial that ended without a result, or with a wrong one."""


@dataclass(frozen=True, slots=True)
class Peer:
    script: str
    environment: str | None = None
    """``None``: this interpreter."""
    commits: bool = True
    """Whether it commits the group's offsets."""


PEERS = {
    "loop": Peer("with_loop.py"),
    "records": Peer("with_records.py"),
    "columns": Peer("with_columns.py"),
    "pipeline": Peer("with_pipeline.py"),
    "arroyo": Peer("with_arroyo.py", "arroyo"),
    "quix": Peer("with_quix.py", "quix"),
    "bytewax": Peer("with_bytewax.py", "bytewax", commits=False),
}


def interpreters(names: Sequence[str], folder: Path) -> dict[str, Path]:
    """Return the interpreters of the peers that can be had, and tell of the others."""
    found: dict[str, Path] = {}
    for name in names:
        environment = PEERS[name].environment
        try:
            if environment is None:
                found[name] = Path(sys.executable)
            else:
                found[name] = interpreter(folder / environment, PINS[environment])
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{name} is left out: {why_not(error)}", file=sys.stderr)
    return found


@contextmanager
def topic(url: str, records: int, value: Callable[[int], bytes]) -> Iterator[str]:
    """Have a topic of so many records, evenly over its partitions; `value` makes each of its number."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    with open_broker(url) as broker:
        broker.create_topic(name, PARTITIONS)
        try:
            with broker.producer() as producer:
                for start in range(0, records, BATCH):
                    partition = start // BATCH % PARTITIONS
                    numbers = range(start, min(start + BATCH, records))
                    producer.send(name, [NewRecord(value(each), partition=partition) for each in numbers])
                producer.flush(120)
            yield name
        finally:
            broker.delete_topic(name)


def reading(number: int) -> bytes:
    """Return about 100 bytes."""
    moment = "2026-11-29T01:02:03.000Z"
    return msgspec.json.encode(Reading(f"s{number % 50:03d}", number, number * STEP, "celsius", moment))


@dataclass(frozen=True, slots=True)
class Result:
    records_s: float
    cpu_us: float
    """Processor time a record, of all threads."""


Results = dict[str, list[Result] | ContestError]


def contest(servers: str, records: int, rounds: int, pythons: dict[str, Path], timeout: float) -> Results:
    """Let everybody read the topic in turn, again and again; return what came of each round."""
    results: Results = {name: [] for name in pythons}
    with topic(f"kafka://{servers}", records, reading) as name:
        for _ in range(rounds):
            for peer, python in pythons.items():
                done = results[peer]
                if isinstance(done, ContestError):
                    continue
                try:
                    done.append(_run(servers, name, records, PEERS[peer], python, timeout))
                except ContestError as error:
                    results[peer] = error
    return results


def tried(peer: Peer, python: Path, trial: Trial, timeout: float) -> dict[str, float]:
    """Let a peer do a trial in a process of its own; return what it tells."""
    environment = {**os.environ}
    if peer.environment is not None:
        environment.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [python, SCRIPTS / peer.script, replace(trial, folder=folder).argument()],
                capture_output=True,
                text=True,
                timeout=timeout,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ContestError(f"not done after {timeout:.0f} s") from error
    if done.returncode:
        raise ContestError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:110])
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def _run(servers: str, topic: str, records: int, peer: Peer, python: Path, timeout: float) -> Result:
    group = f"bench-{uuid.uuid4().hex[:8]}"
    told = tried(peer, python, Trial(servers, topic, group, records, BATCH), timeout)
    if told["left"] or told["total"] != STEP * records * (records - 1) / 2:
        raise ContestError(f"{told['left']} records left, and a sum of {told['total']}")
    if peer.commits and (committed := _committed(servers, group, topic)) != records:
        raise ContestError(f"{committed} of {records} records committed")
    return Result(told["records_s"], told["cpu_us"])


def _committed(servers: str, group: str, topic: str) -> int:
    with open_broker(f"kafka://{servers}") as broker:
        return sum(broker.committed(group, topic).values())
