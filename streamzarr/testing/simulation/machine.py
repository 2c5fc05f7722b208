"""What belongs to a process and not to an object: each simulated process gets its own.

And what belongs to the machine is out of reach: code that uses it could not be replayed. Threads that the
process had before have nothing to do with the simulation, and may go on.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Set
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from streamzarr.flow.windows import state
from streamzarr.runtime import SystemRuntime
from streamzarr.stores.registry import _registered, register_store
from streamzarr.stream import acquire
from streamzarr.testing.simulation.errors import UnsimulatedError
from streamzarr.testing.simulation.process import SimulatedProcess
from streamzarr.testing.simulation.store import SCHEME
from streamzarr.testing.simulation.world import World
from streamzarr.zarr.chunks import claims
from streamzarr.zarr.locks import ChunkLocks

STACK_BYTES = 1 << 20
"""Of each simulated thread: there are many, and those of killed processes stay."""


@contextmanager
def simulated_machine(world: World) -> Iterator[None]:
    """Put `world` in the place of the machine: clocks, chance, threads, ``sim://`` stores, claims on chunks.

    Nor is garbage collected meanwhile, which would run finalizers at any moment.
    """
    others = frozenset(threading.enumerate()) - {threading.current_thread()}
    methods = [each for each in vars(SystemRuntime).items() if each[0][0] != "_" and each[0] != "local"]
    collects, stack_bytes = gc.isenabled(), threading.stack_size(STACK_BYTES)
    with ExitStack() as stack:
        for name, method in methods:
            stack.enter_context(patch.object(SystemRuntime, name, _only_for(others, method)))
        stack.enter_context(patch.object(claims, "_claims", _Claims(world)))
        # It tries out what a store can do with threads of its own; a simulated one is known.
        stack.enter_context(patch.object(state, "probe_conditional_put", lambda store: None))
        stack.enter_context(patch.object(acquire, "probe_conditional_put", lambda store: None))
        stack.enter_context(patch.dict(_registered))
        register_store(SCHEME, world.disks.open, replace=True)
        gc.disable()
        try:
            yield
        finally:
            threading.stack_size(stack_bytes)
            if collects:
                gc.enable()


def _only_for(others: Set[threading.Thread], method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of the system's runtime that simulated threads may not call."""

    def refuse(self: SystemRuntime, *args: Any, **options: Any) -> Any:
        if threading.current_thread() in others:
            return method(self, *args, **options)
        raise UnsimulatedError(
            "code under simulation used the system's runtime, expected the one it was given"
        )

    return refuse


class _Claims:
    """Which thread of which simulated process writes which chunk; those of a killed process die with it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._locks: dict[SimulatedProcess, ChunkLocks] = {}

    def hold(self, *keys: str) -> AbstractContextManager[None]:
        process = self._world.kernel.current.process
        locks = self._locks.get(process)
        if locks is None:
            locks = self._locks[process] = ChunkLocks()
            locks._changed = self._world.runtime.condition()  # type: ignore[assignment]
        return locks.hold(*keys)
