"""Many seeds, over the processor's cores."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from streamzarr.errors import WorkerError
from streamzarr.testing.simulation.catalog import Named
from streamzarr.testing.simulation.examine import RUN_SECONDS, Finding, examine

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Order:
    """What one child process shall do: every `step`-th seed from `first` on, below `stop`."""

    scenarios: tuple[Named, ...]
    first: int
    stop: int
    step: int
    timeout: float
    """Seconds of real time that a run may take."""


def examine_many(
    scenarios: Sequence[Named], seeds: range, processes: int, timeout: float = RUN_SECONDS
) -> Iterator[Finding]:
    """Yield what each seed shows, as it is found; seed after seed goes to the scenarios in turn.

    Each process is a new interpreter whose hashes of text are not random, so that what a seed gives does not
    depend on where it runs.

    Raises
    ------
    streamzarr.errors.WorkerError
        A process ended before it was through.
    """
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", __name__]
    children: dict[int, subprocess.Popen[bytes]] = {}
    rests: dict[int, bytes] = {}
    with selectors.DefaultSelector() as selector:
        try:
            for index in range(min(processes, len(seeds))):
                order = Order(tuple(scenarios), seeds.start + index, seeds.stop, processes, timeout)
                child = subprocess.Popen(  # noqa: S603 - ourselves
                    [*command, msgspec.json.encode(order).decode()], stdout=subprocess.PIPE, env=environment
                )
                assert child.stdout is not None
                descriptor = child.stdout.fileno()
                children[descriptor], rests[descriptor] = child, b""
                selector.register(descriptor, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    data = os.read(key.fd, _CHUNK)
                    *lines, rests[key.fd] = (rests[key.fd] + data).split(b"\n")
                    yield from (msgspec.json.decode(line, type=Finding) for line in lines)
                    if not data:
                        selector.unregister(key.fd)
                        if code := children[key.fd].wait():
                            raise WorkerError(f"a process that simulates has ended with exit code {code}")
        finally:
            for child in children.values():
                child.kill()
                child.wait()
                if child.stdout is not None:
                    child.stdout.close()


def _main(order: Order) -> None:
    _stay_on_one_core(order.first % order.step)
    findings = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a user's code prints is not among them
    scenarios = [named.find() for named in order.scenarios]
    for seed in range(order.first, order.stop, order.step):
        finding = examine(scenarios[seed % len(scenarios)], seed, timeout=order.timeout)
        findings.write(msgspec.json.encode(finding) + b"\n")
        findings.flush()


def _stay_on_one_core(index: int) -> None:
    """Stay on a core: to pass the baton from one to another costs three times as much."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[index % len(cores)]})


if __name__ == "__main__":
    import logging

    logging.disable(logging.CRITICAL)  # what is simulated speaks of its faults all the time
    _main(msgspec.json.decode(sys.argv[1], type=Order))
