"""Reading what is hostile, in a process whose memory is measured; a fork server loads this module once."""

from __future__ import annotations

import resource
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

import streamzarr as sz
import streamzarr.zarr.api  # so that the server has it, and no measured child loads it
from streamzarr.errors import StreamzarrError
from streamzarr.stores import ZipStore

CHUNK = 10_000
DEEP = 300


def create(path: Path, compressor: str | None) -> None:
    """Make an array of one chunk."""
    z = sz.create_array(str(path), shape=(CHUNK,), chunks=(CHUNK,), dtype="i4", compressors=compressor)
    z[:] = np.arange(CHUNK)


def make_deep(path: Path) -> int:
    """Make as many groups within each other as a key is long; return how many."""
    sz.create_group(str(path))
    place = path
    document = (path / "zarr.json").read_bytes()
    for _ in range(DEEP):
        place /= "g"
        place.mkdir()
        (place / "zarr.json").write_bytes(document)
    return DEEP


def attempt(read: str, path: str, answer: Connection) -> None:
    """Carry out `read` and send the name of its error, its message or result, and the MiB that it took."""
    before = _peak()
    try:
        name, message = "", str(_READS[read](path))
    except StreamzarrError as error:
        name, message = type(error).__name__, str(error)
    answer.send((name, message, _peak() - before))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _members(path: str) -> int:
    return sum(1 for _ in sz.open_group(path).members(max_depth=None))


_READS = {
    "list": lambda path: len(list(ZipStore(path).list())),
    "get": lambda path: len(ZipStore(path).get("a")),
    "open": sz.open,
    "read": lambda path: sz.open_array(path)[...].sum(),
    "members": _members,
    "waste": lambda path: len(bytearray(b"x") * (200 << 20)),
}
