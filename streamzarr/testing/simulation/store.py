"""A store in virtual time that fails before or after it has done what it was asked for."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import NoReturn, TypeVar

from streamzarr.errors import PreconditionFailedError, StoreError, UnsupportedError
from streamzarr.stores.base import Store
from streamzarr.stores.memory import MemoryStore
from streamzarr.stores.url import StoreURL, split_url
from streamzarr.testing.faults import Call, WrappedStore
from streamzarr.testing.simulation.faults import Faults
from streamzarr.testing.simulation.runtime import SimulatedRuntime

T = TypeVar("T")

SCHEME = "sim"
MAX_LATENCY = 0.004
_WRITES = frozenset({"put", "delete", "delete_prefix", "collect_stale"})


class Disks:
    """All simulated stores of one machine: their contents outlive every process."""

    def __init__(self, runtime: SimulatedRuntime, faults: Faults, seed: int | str) -> None:
        self.runtime, self.faults = runtime, faults
        self.random = Random(f"disks {seed}")
        self.full_until = 0.0
        self._contents: dict[str, MemoryStore] = {}

    def contents(self, name: str, path: str = "") -> Store:
        """Return what a store holds, to be looked at without waiting and without faults."""
        root = self._contents.setdefault(name, MemoryStore())
        return MemoryStore(split_url(root.url).authority, path)

    def open(self, url: StoreURL) -> Store:
        """Open ``sim://name/path``."""
        return SimulatedStore(self, url)


class SimulatedStore(WrappedStore):
    """One process's view of a store of :class:`Disks`.

    Each call takes time, in which other threads run, and may fail as the plan of faults has it.
    """

    def __init__(self, disks: Disks, url: StoreURL) -> None:
        super().__init__(disks.contents(url.authority, url.path))
        self._disks, self._url = disks, url

    @property
    def url(self) -> str:
        """``sim://name/path``."""
        return str(self._url)

    def around(self, call: Call, action: Callable[[], T]) -> T:
        """Carry out a call, between two points at which other threads may run."""
        disks, kernel = self._disks, self._disks.runtime.kernel
        writes = call.operation in _WRITES
        what = f"{call.operation} {self.url}/{call.key}"
        kernel.step(what if writes else "")
        faults = {fault.kind: fault for fault in disks.faults.at("write" if writes else "read")}
        for fault in faults.values():
            kernel.trace.add(kernel.time, str(kernel.current), f"FAULT {fault} ({what})")
        if "full" in faults:
            disks.full_until = kernel.time + faults["full"].seconds
        if "late" in faults:
            kernel.sleep(faults["late"].seconds, f"a slow {call.operation}")
        if call.operation == "put" and kernel.time < disks.full_until:
            raise StoreError(f"{self.url}: key {call.key!r}: no space left") from OSError(
                errno.ENOSPC, "full"
            )
        if "stray" in faults:
            kernel.at(kernel.time + faults["stray"].seconds, lambda: _astray(action))
            raise StoreError(f"{self.url}: {call.operation} {call.key!r}: timed out")
        if "refuse" in faults:
            raise StoreError(f"{self.url}: {call.operation} {call.key!r}: connection reset")
        result = action()
        kernel.sleep(disks.random.random() * MAX_LATENCY, "a disk")
        if "lose" in faults:
            raise StoreError(f"{self.url}: {call.operation} {call.key!r}: no answer")
        return result

    def __reduce__(self) -> NoReturn:
        raise UnsupportedError(f"{self.url}: a simulated store lives in one simulation")


def _astray(action: Callable[[], object]) -> None:
    """Carry out what its sender has given up; nobody hears how it went."""
    with suppress(PreconditionFailedError):
        action()
