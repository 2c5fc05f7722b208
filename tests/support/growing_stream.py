"""A program that lets a stream grow: ``python -m tests.support.growing_stream FOLDER``.

It says "ready", and again after each line that it has read and acted upon. That is STEPS steps: most commit a
few rows; some leave full chunks and a tail of poison behind, uncommitted, as a killed writer does, and then
another writer takes over.
"""

import sys

import numpy as np

import streamzarr as sz
from streamzarr.stores import LocalStore
from streamzarr.stream import Field

STEPS = 10
POISON = -1
SCHEMA = {
    "row_number": Field("i8", sorted=True),
    "value": "f8",
    "frame": Field("i4", shape=(2, 3), chunk_rows=40),
}


def expected(rows: int) -> dict[str, np.ndarray]:
    """Return what the first rows hold."""
    numbers = np.arange(rows)
    frames = (numbers[:, None, None] + np.arange(6).reshape(2, 3)).astype("i4")
    return {"row_number": numbers, "value": numbers / 4, "frame": frames}


def part(start: int, stop: int) -> dict[str, np.ndarray]:
    return {name: values[start:] for name, values in expected(stop).items()}


def tell() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def main() -> None:
    store = LocalStore(sys.argv[1], fsync=False)
    writer = sz.StreamWriter(store, schema=SCHEMA, chunk_rows=100)
    tell()
    for turn, _ in enumerate(sys.stdin):
        for step in range(turn * STEPS, (turn + 1) * STEPS):
            rows = writer.rows
            if step % 7:
                writer.append(part(rows, rows + 1 + step % 13))
                writer.commit()
            else:
                poison = {name: np.full_like(each, POISON) for name, each in part(rows, rows + 230).items()}
                writer.append(poison | {"row_number": np.arange(rows, rows + 230) + 10**9})
                writer = sz.StreamWriter(store)
        tell()


if __name__ == "__main__":
    main()
