"""The process of a trial, from outside: started, listened to, and killed for what it must not do."""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import msgspec

from streamzarr.errors import StreamzarrError, TransformError
from streamzarr.jobs import trial_process
from streamzarr.runtime import SYSTEM

Cause: TypeAlias = Literal["death", "timeout", "memory"]

STEP = 0.1
"""Seconds between two looks at a trial. Longer silence of our own is not held against it."""
READ_BYTES = 1 << 16


class Ending(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a trial says of a chunk: the decoded bytes written, or its error. Without number: of all the rest.

    Of the rest without an error: its job is over.
    """

    task: int | None = None
    nbytes: int = 0
    error: str = ""
    text: str = ""
    transient: bool = False


@dataclass(frozen=True, slots=True)
class Death:
    """A trial that ended without having told of every chunk."""

    cause: Cause
    text: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the process of a trial is held to."""

    seconds: float = math.inf
    """For one step of the work."""
    memory: float = math.inf
    """Bytes."""


@dataclass(frozen=True, slots=True)
class End:
    """How a trial ended."""

    code: int
    """Of the process."""
    killed: Death | None
    chunk: int | None
    """The one chunk that was being worked at; None: it was none, or several."""

    @property
    def death(self) -> Death:
        """What it died of; raises ``InterruptedError`` where that says nothing of the task."""
        return _describe(self.code) if self.killed is None else self.killed


class Witness:
    """Takes in what a trial says."""

    def __init__(self, hear: Callable[[Ending], None]) -> None:
        self._hear = hear
        self._under_way: Counter[bytes] = Counter()
        self.begun = False

    @property
    def chunk(self) -> int | None:
        """The one chunk that is being worked at; None: it is none, or several."""
        chunks = set(+self._under_way)
        return int(chunks.pop()) if len(chunks) == 1 and b"" not in chunks else None

    def listen(self, lines: Iterable[bytes]) -> bool:
        """Take in lines; tell whether a step of the work began or ended."""
        stepped = False
        for line in lines:
            kind = line[:1]
            if kind not in (trial_process.BEGUN, trial_process.ENDED):
                self._hear(msgspec.json.decode(line, type=Ending))
                continue
            self._under_way[line[1:]] += 1 if kind == trial_process.BEGUN else -1
            self.begun = stepped = True
        return stepped


RunTrial: TypeAlias = Callable[[dict[str, Any], Bounds, Callable[[Ending], None]], End]
"""Runs a trial; :func:`run_trial` does so in a process of this machine."""


def run_trial(order: dict[str, Any], bounds: Bounds, hear: Callable[[Ending], None]) -> End:
    """Run a process that carries out `order` to its end, or kill it for what it must not do.

    Parameters
    ----------
    hear
        Called with each ending, as soon as it is said.
    """
    witness = Witness(hear)
    ours, theirs = os.pipe()
    with contextlib.closing(_Ear(ours)) as ear:
        try:
            # By path and -P: nothing of the working directory comes into the way of the standard library.
            process = subprocess.Popen(  # noqa: S603  our own file, no shell
                [sys.executable, "-u", "-P", trial_process.__file__, str(theirs)],
                stdin=subprocess.PIPE,
                bufsize=0,
                pass_fds=[theirs],
            )
        finally:
            os.close(theirs)
        with process:
            assert process.stdin is not None
            try:
                with contextlib.suppress(BrokenPipeError):  # it has ended; how it did tells more
                    process.stdin.write(msgspec.json.encode(order) + b"\n")  # not closed: it ends with us
                killed = _attend(process, ear, bounds, witness)
            finally:
                process.kill()
        witness.listen(ear.listen(0))
    return End(process.returncode, killed, witness.chunk)


def _attend(process: subprocess.Popen[bytes], ear: _Ear, bounds: Bounds, witness: Witness) -> Death | None:
    """Listen until `process` ends; say what it must be killed for."""
    worked = 0.0
    while True:
        before = SYSTEM.now()
        if witness.listen(ear.listen(STEP)):
            worked = 0.0
        if ear.closed:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STEP)
        if process.poll() is not None:
            return None
        if witness.begun:
            worked += min(SYSTEM.now() - before, 2 * STEP)
        if worked > bounds.seconds:
            return Death("timeout", f"{bounds.seconds} s")
        if bounds.memory < math.inf and _memory(process.pid) > bounds.memory:
            return Death("memory", f"{bounds.memory} bytes")


class _Ear:
    """The end of a pipe that is listened to; a line that is broken off is not heard."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.closed = False
        """Whether nothing more can be said; who holds the other end may go on all the same."""
        self._pipe = open(fd, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        self._selector = selectors.DefaultSelector()
        self._selector.register(fd, selectors.EVENT_READ)
        self._said = b""

    def listen(self, timeout: float) -> Iterator[bytes]:
        """Yield the lines that are said now, or if there is none the first ones within `timeout` seconds."""
        if self.closed or not self._selector.select(timeout):
            return
        while data := self._pipe.read(READ_BYTES):
            *lines, self._said = (self._said + data).split(b"\n")
            yield from lines
        self.closed = data == b""

    def close(self) -> None:
        """Release the pipe."""
        self._selector.close()
        self._pipe.close()


def revive(ending: Ending) -> Exception:
    """Return the error of a trial: one of ours as it was, one of anybody else's by its name.

    Examples
    --------
    >>> revive(Ending(error="CodecError", text="truncated"))
    CodecError('truncated')
    >>> error = revive(Ending(error="ValueError", text="of no use"))
    >>> type(error).__name__, str(error), isinstance(error, TransformError)
    ('ValueError', 'of no use', True)
    """
    kinds: list[type[StreamzarrError]] = [StreamzarrError]
    for kind in kinds:
        if kind.__name__ == ending.error and "__init__" not in vars(kind):  # made of its text alone
            return kind(ending.text)
        kinds += kind.__subclasses__()
    foreign = type(ending.error, (TransformError,), {"transient": ending.transient})
    return cast(Exception, foreign(ending.text))


def _memory(pid: int) -> int:
    import psutil

    try:
        used: int = psutil.Process(pid).memory_info().rss
    except psutil.Error:  # it has just ended
        return 0
    return used


def _describe(code: int) -> Death:
    """Put the end of a trial by itself into words.

    Raises
    ------
    InterruptedError
        It was terminated, as a service manager does with every process of a service that it stops.
    """
    if code == -signal.SIGTERM:
        raise InterruptedError("the process in which the task was tried was terminated")
    if code >= 0:
        return Death("death", f"exit code {code} without a last word")
    try:
        return Death("death", f"signal {-code} ({signal.Signals(-code).name})")
    except ValueError:
        return Death("death", f"signal {-code}")
