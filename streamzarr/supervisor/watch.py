"""What a running process is watched for: silence, tasks that do not end, memory. Pure."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from streamzarr.errors import ConfigError
from streamzarr.supervisor.host import Register

START_TIMEOUT = 60.0
"""Seconds to the first heartbeat: imports from a cold network disk take long, whatever `hang_timeout` is."""
CHECK_EVERY = 1.0
"""Seconds between two looks at tasks and memory, at most; there are none when neither is bounded."""
HARD_SHARE = 1.25
"""So much of `max_memory` a process may use while it drains; what grows faster than that is killed."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process is allowed.

    Raises
    ------
    ConfigError
        A bound on memory, and no psutil to measure it with.
    """

    hang_timeout: float = 60.0
    """Seconds without a heartbeat."""
    task_timeout: float | None = None
    """Seconds that a token may be in flight; None: for ever."""
    max_memory: int | None = None
    """Bytes of resident memory; None: no bound."""

    def __post_init__(self) -> None:
        if self.max_memory is not None and importlib.util.find_spec("psutil") is None:
            raise ConfigError(f"max_memory={self.max_memory} cannot be measured: psutil is not installed")

    @property
    def check_every(self) -> float:
        """Seconds between two looks at tasks and memory."""
        if self.task_timeout is None:
            return math.inf if self.max_memory is None else CHECK_EVERY
        return min(CHECK_EVERY, self.task_timeout / 4)

    @property
    def gap(self) -> float:
        """Seconds of silence that tell that the process was stopped, and not just busy."""
        return max(1.0, min(self.hang_timeout, self.task_timeout or math.inf) / 2)


def overdue(
    held: Iterable[tuple[bytes, float]], heartbeat: float | None, grace: float, timeout: float
) -> frozenset[bytes]:
    """Return the tokens that have been in flight for longer than `timeout` seconds.

    Counted up to the last heartbeat, since a process that was stopped did not work, and from `grace`.

    Examples
    --------
    >>> overdue([(b"a", 10.0), (b"b", 15.0)], heartbeat=18.0, grace=0.0, timeout=5.0)
    frozenset({b'a'})
    """
    if heartbeat is None:
        return frozenset()
    return frozenset(token for token, started in held if heartbeat - max(started, grace) > timeout)


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a process has to end."""

    what: Literal["hang", "timeout", "memory", "recycle"]
    """All but the last are a kill; *recycle* asks it to drain."""
    text: str
    tokens: frozenset[bytes] = frozenset()
    """Those that did not end."""


class Watch:
    """Looks at one process from its start to its end. The clock is an argument.

    A silence that was longer than :attr:`Bounds.gap` and then ended was no work: the process was stopped, or
    the machine was. What is in flight then gets its time anew.
    """

    def __init__(self, bounds: Bounds, started_at: float, memory: Callable[[], int | None]) -> None:
        self._bounds = bounds
        self._started_at = started_at
        self._memory = memory
        self._check_at = started_at + bounds.check_every
        self._silent = False
        self._awake = -math.inf

    def due(self, heartbeat: float | None, grace: float) -> float:
        """When :meth:`look` may have something to say; silence before `grace` does not count."""
        return min(self._hung_at(heartbeat, grace), self._check_at)

    def _hung_at(self, heartbeat: float | None, grace: float) -> float:
        if heartbeat is None:
            return max(self._started_at, grace) + max(START_TIMEOUT, self._bounds.hang_timeout)
        return max(heartbeat, grace) + self._bounds.hang_timeout

    def look(self, register: Register, now: float, grace: float) -> Finding | None:
        """Look at everything that is due."""
        heartbeat = register.heartbeat
        if now >= self._hung_at(heartbeat, grace):
            silence = now - (heartbeat or self._started_at)
            return Finding("hang", f"killed after {silence:.1f} s without a sign of life")
        if now < self._check_at:
            return None
        self._check_at = now + self._bounds.check_every
        return self._look_at_tasks(register, now, grace) or self.look_at_memory()

    def _look_at_tasks(self, register: Register, now: float, grace: float) -> Finding | None:
        timeout, heartbeat = self._bounds.task_timeout, register.heartbeat
        if timeout is None or heartbeat is None:
            return None
        if now - heartbeat > self._bounds.gap:
            self._silent = True
            return None
        if self._silent:
            self._silent, self._awake = False, heartbeat
        late = overdue(register.held(), heartbeat, max(grace, self._awake), timeout)
        text = f"killed for {len(late)} of its tasks, in flight for more than {timeout:g} s"
        return Finding("timeout", text, late) if late else None

    def look_at_memory(self) -> Finding | None:
        """Measure the memory of the process."""
        ceiling = self._bounds.max_memory
        used = None if ceiling is None else self._memory()
        if ceiling is None or used is None or used <= ceiling:
            return None
        text = f"{used} bytes of memory, max_memory={ceiling}"
        if used <= ceiling * HARD_SHARE:
            return Finding("recycle", text)
        return Finding("memory", f"killed at {text}")

    def look_while_draining(self, now: float) -> Finding | None:
        """Look at what a process that is recycled can still do wrong."""
        if now < self._check_at:
            return None
        self._check_at = now + self._bounds.check_every
        found = self.look_at_memory()
        return found if found is not None and found.what == "memory" else None

    @property
    def check_at(self) -> float:
        """When the next look at tasks and memory is due."""
        return self._check_at
