"""Transforms that tests submit; imported by name in test and worker processes."""

import asyncio
import ctypes
import os
import resource
import signal
import threading
from pathlib import Path

import numpy as np

import streamzarr as sz
from streamzarr.errors import SourceChangedError
from streamzarr.jobs.opened import UnwantedError


@sz.transform
def celsius(block, *, offset=-273.15):
    return block + np.float32(offset)


@sz.transform
def fail_on(block, *, values="", fixed=""):
    """Raise for chunks whose first value is listed, until the file `fixed` is there."""
    if not Path(fixed).exists() and int(block.flat[0]) in map(int, values.split(",")):
        raise ValueError(f"cannot take the value {int(block.flat[0])}")
    return block + 1


@sz.transform
def gated(block, *, gate=""):
    """Take one byte from the FIFO `gate`; wait until there is one."""
    fifo = os.open(gate, os.O_RDONLY)
    os.read(fifo, 1)
    os.close(fifo)
    return block + 1


@sz.transform
def deadly(block, *, value=0):
    """Kill the worker process, as a segmentation fault would, for the chunk that begins with `value`."""
    if int(block.flat[0]) == value:
        os.kill(os.getpid(), signal.SIGKILL)
    return block + 1


class Foreign(BaseException):
    """An error of one's own, outside of ``Exception``, as some libraries have them."""


class Mute(Exception):
    """Cannot be shown, nor asked anything."""

    def __str__(self):
        raise KeyboardInterrupt

    __repr__ = __str__

    @property
    def transient(self):
        raise GeneratorExit


class Hidden(Exception):
    """Shows nobody where it came from."""

    def __getattribute__(self, name):
        if name in ("__traceback__", "__cause__", "__context__"):
            raise RuntimeError(name)
        return super().__getattribute__(name)


def _cyclic():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


ERRORS = (
    lambda: asyncio.CancelledError(),
    lambda: KeyboardInterrupt(),
    lambda: GeneratorExit(),
    lambda: SystemExit(3),
    lambda: Foreign("mine"),
    lambda: Mute(),
    lambda: ValueError("x" * 100_000_000),
    lambda: ValueError("lone \ud800 surrogate"),
    lambda: type("N" * 100_000, (Exception,), {})("a long name"),
    lambda: _cyclic(),
    lambda: Hidden(),
    lambda: SourceChangedError("of another job, which the transform looked at"),
    lambda: UnwantedError("not of this job"),
)
"""All that a function can throw. Chunk number `n` of ``throw`` gets error number `n`."""


@sz.transform
def throw(block, *, size=1):
    number = int(block.flat[0]) // size
    if number < len(ERRORS):
        raise ERRORS[number]()
    return block + 1


KILLERS = {
    "segv": lambda: ctypes.string_at(0),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit 0": lambda: os._exit(0),
    "exit 143": lambda: os._exit(143),
    "abort": os.abort,
}


def memory_error():
    """Ask for more than the process may have; an ordinary exception, and no reason to die."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, limits[1]))
    try:
        return np.ones(8 << 30, "u1")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@sz.transform
def bad_task(block, *, kill="", how="kill", error="", endless="", no_memory=""):
    """Kill the process, raise, never end, or ask for too much memory, for the chunks that are listed."""
    number = str(block.flat[0])
    if number in kill.split():
        KILLERS[how]()
    if number in error.split():
        raise ValueError(f"cannot take the value {number}")
    if number in no_memory.split():
        memory_error()
    while number in endless.split():
        threading.Event().wait(1)
    return block + 1


@sz.transform
def counted_death(block, *, log=""):
    """Note that it was called, and end the process."""
    with Path(log).open("a") as file:
        file.write("x")
    os._exit(7)


@sz.transform
def hungry(block):
    """Fill more and more memory."""
    held = []
    while True:
        held.append(b"x" * (10 << 20))
        threading.Event().wait(0.02)


LEAK: list[bytes] = []


@sz.transform
def leaky(block):
    """Keep 10 MB for each chunk."""
    LEAK.append(b"x" * (10 << 20))
    return block + 1


@sz.transform
def wrong_shape(block):
    return block[:1]


@sz.transform
def plus_one(block):
    return block + 1
