"""What work costs, in seconds, about: enough to tell which of two plans is the faster one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T", float, npt.NDArray[np.float64])

DECODED = 1e9
"""Bytes a second, of a fast codec, read from a file and decoded."""
ENCODED = 0.5e9
"""Likewise encoded and written."""
TASK_SECONDS = 1e-3
"""Of sending a task, opening what it needs, and its result."""
WORKERS = 4
"""That a pass keeps busy until about half of them wait for its last tasks to end."""


@dataclass(frozen=True, slots=True)
class Requests:
    """What requests to a store cost.

    Examples
    --------
    >>> writing(0, 1600, Requests())
    1.0
    """

    seconds: float = 0.01
    """Of one that reads, from asking to the first byte."""
    in_flight: int = 16
    """How many wait at a time."""
    put_seconds: float = 0.01
    """Of one that writes."""


FILES = Requests(50e-6, 1, 1e-3)
"""Of a file system: opening a file; and making one that is durable."""


def reading(nbytes: T, reads: T, requests: Requests) -> T:
    """Return the seconds of reading and decoding."""
    return nbytes / DECODED + reads * (requests.seconds / requests.in_flight)


def writing(nbytes: int, writes: int, requests: Requests) -> float:
    """Return the seconds of encoding and writing."""
    return nbytes / ENCODED + writes * requests.put_seconds / requests.in_flight


def idle(tasks: T) -> T:
    """Return the factor by which a pass of so many tasks takes longer, as workers are idle at its end.

    >>> idle(1.0), idle(100.0)
    (3.0, 1.02)
    """
    return 1 + WORKERS / 2 / tasks
