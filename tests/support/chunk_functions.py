"""Functions that tests send to other processes, which find them by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

CAUSE = "a chunk that cannot be used"


class UnpicklableError(Exception):
    """Cannot be sent back: its constructor wants more than its message."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} {second}")


def double(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return block * 2


def process_of(block: np.ndarray[Any, Any]) -> int:
    return os.getpid()


def fail_on_seven(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if (block == 7).any():
        raise ValueError(CAUSE)
    return block


def fail_unpicklably(block: np.ndarray[Any, Any]) -> None:
    raise UnpicklableError(1, 2)


def die(block: np.ndarray[Any, Any]) -> None:
    os._exit(1)


class Append:
    """Writes a line to a file for each call, whatever the process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        with self.path.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return block + 1


def read_and_write(array: Any, values: np.ndarray[Any, Any], write: bool) -> None:
    """In a child: read all on threads, go through the chunks, and write; an assertion is its exit code."""
    assert np.array_equal(array[:], values)
    assert sum(int(block.data.sum()) for block in array.stream_chunks(concurrency=3)) == int(values.sum())
    assert sum(int(r.value) for r in array.map_chunks(np.sum, concurrency=3)) == int(values.sum())
    if write:
        array[0] = values[0] + 1
        assert np.array_equal(array[0], values[0] + 1)
