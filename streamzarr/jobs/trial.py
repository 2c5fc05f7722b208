"""A task that may kill its process is tried in one of its own.

A worker that dies takes the work of its neighbours along, and its partitions stand still until the broker has
given it up. So a task under suspicion is not carried out in the worker: a child process does it, one task and
nothing else, and all that its death costs is that process.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import msgspec

from streamzarr.errors import StreamzarrError, TransformError
from streamzarr.jobs import trial_process
from streamzarr.jobs.options import WorkerOptions
from streamzarr.jobs.wire import Task, encode

Cause: TypeAlias = Literal["death", "timeout", "memory"]

STEP = 0.1
"""Seconds between two looks at a trial that has bounds. Longer silence of our own is not held against it."""


class Ending(msgspec.Struct, frozen=True):
    """What a trial says at its end: the decoded bytes written, None where the job is over; or its error."""

    nbytes: int | None = None
    error: str = ""
    text: str = ""
    transient: bool = False


class WorkerCrashError(StreamzarrError):
    """The process died each time it carried out this task: no memory, segmentation fault, ``os._exit``."""


class TaskTimeoutError(StreamzarrError):
    """The task did not end within the workers' `task_timeout`, however often it was tried."""


class TaskMemoryError(StreamzarrError):
    """The task used more than the workers' `max_memory`, however often it was tried."""


@dataclass(frozen=True, slots=True)
class Death:
    """A trial that ended without an outcome."""

    cause: Cause
    text: str


@dataclass(frozen=True, slots=True)
class Court:
    """Tries suspected tasks until they succeed, fail as others do, or have died often enough.

    Thread-safe; blocks for as long as the trials take. A trial ends with this process: it waits for the end
    of its standard input.
    """

    options: WorkerOptions
    task_timeout: float | None = None
    max_memory: int | None = None

    def __call__(self, task: Task, suspicion: tuple[int, str]) -> int | None:
        """Carry out `task`; return the decoded bytes written, or raise what carrying it out has raised.

        None says that its job is over.

        Parameters
        ----------
        suspicion
            Deaths that count against the task, and the cause of the last one.

        Raises
        ------
        WorkerCrashError, TaskTimeoutError, TaskMemoryError
            After `max_crashes` deaths, by the cause of the last one.
        """
        deaths, cause = suspicion
        last = ""
        while deaths < self.options.max_crashes:
            end = self._try(task)
            if not isinstance(end, Death):
                return end
            deaths, cause, last = deaths + 1, end.cause, end.text
        raise self._condemn(deaths, cause, last)

    def _condemn(self, deaths: int, cause: str, last: str) -> StreamzarrError:
        times = "once" if deaths == 1 else f"{deaths} times"
        if cause == "timeout":
            return TaskTimeoutError(
                f"the task did not end within {self.task_timeout:g} s, its task_timeout; "
                f"its process was killed, {times} in all"
            )
        if cause == "memory":
            return TaskMemoryError(
                f"the task's process used more than {self.max_memory} bytes, its max_memory, and was killed, "
                f"{times} in all"
            )
        return WorkerCrashError(
            f"the process died {times} while it carried out this task" + (f", last by {last}" if last else "")
        )

    def _try(self, task: Task) -> int | Death | None:
        """Carry out `task` once in a process of its own."""
        order = {
            "path": sys.path,
            "options": msgspec.to_builtins(self.options),
            "task": encode(task).decode(),
        }
        ours, theirs = os.pipe()
        said = bytearray()

        def has_begun() -> bool:
            said.extend(outcome.read() or b"")
            return said.startswith(trial_process.BEGUN)

        with io.FileIO(ours) as outcome:
            os.set_blocking(ours, False)
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
                        process.stdin.write(msgspec.json.encode(order) + b"\n")  # not closed: see Court
                    killed = self._attend(process, has_begun)
                finally:
                    process.kill()
            has_begun()  # to the end of what it says
        if killed is not None:
            return killed
        if not (ending := said.removeprefix(trial_process.BEGUN)):
            return _describe(process.returncode)
        end = msgspec.json.decode(ending, type=Ending)
        if end.error:
            raise revive(end)
        return end.nbytes

    def _attend(self, process: subprocess.Popen[bytes], has_begun: Callable[[], bool]) -> Death | None:
        """Wait for the end of `process`; kill it for what it must not do, and say so."""
        bounded = self.task_timeout is not None or self.max_memory is not None
        begun, worked = False, 0.0
        while True:
            before = time.monotonic()
            try:
                process.wait(STEP if bounded else None)
                return None
            except subprocess.TimeoutExpired:
                begun = begun or has_begun()
                if begun:
                    worked += min(time.monotonic() - before, 2 * STEP)
            if worked > (self.task_timeout or math.inf):
                return Death("timeout", f"{self.task_timeout} s")
            if self.max_memory is not None and _memory(process.pid) > self.max_memory:
                return Death("memory", f"{self.max_memory} bytes")


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
    """Put the end of a trial into words.

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
