"""A function that runs in a process of its own, called like any other.

::

    this process                                 child
    call(data) ── blocks ─► segment "there" ───► copies them out, fn(data)
               ── frame ──► pipe ──────────────►     │
               ◄─ result ── segment "back", pipe ────┘

Both segments are this process's, so nothing is left behind however the child ends.
"""

from __future__ import annotations

import atexit
import importlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final

from streamzarr.errors import ConfigError, ProcessDiedError, ProcessError, TransformError, describe
from streamzarr.flow.dispatch.shared import Attached, Packed, Segment, pack, unpack
from streamzarr.runtime import SYSTEM

KILL_TIMEOUT: Final = 5.0
"""Seconds until a killed process is given up on; the system may be slow to reap it."""

STARTS: Final = 2
"""How often to start a process that ends before it is ready; the first time somebody may have killed it."""

_RESULT, _ERROR, _GROW = "result", "error", "grow"


def import_path(fn: Callable[[Any], Any]) -> str:
    """Return ``module:name`` of a function at the top of a module, by which another process finds it.

    Raises
    ------
    streamzarr.errors.ConfigError
        It cannot be found that way: a lambda, a closure, a method of an object.

    Examples
    --------
    >>> import json
    >>> import_path(json.dumps)
    'json:dumps'
    """
    module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", None)
    if isinstance(module, str) and isinstance(name, str) and "<" not in name:
        try:
            if _find(module, name) is fn:
                return f"{module}:{name}"
        except (ImportError, AttributeError):
            pass
    raise ConfigError(f"{fn!r} cannot run in another process, expected a function at the top of a module")


def _find(module: str, name: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


class ChildProcess:
    """A process that computes one function, a call at a time; started by the first, replaced when it dies.

    Parameters
    ----------
    path
        What :func:`import_path` says of the function. It comes from this program, never from a message.
    name
        Of the process, for people.

    Notes
    -----
    Threads: owned by one, which blocks in :meth:`__call__` for as long as the function runs. Any thread may
    call :meth:`kill`, which ends such a call. The child ignores SIGINT and SIGTERM, which are sent to whole
    groups of processes: it ends with its owner, whatever happens to that.

    Examples
    --------
    >>> child = ChildProcess("math:sqrt", "example")
    >>> child(9.0)
    3.0
    >>> child.close()
    """

    def __init__(self, path: str, name: str) -> None:
        self._path, self._name = path, name
        self._there, self._back = Segment(), Segment()
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection[Any, Any] | None = None
        self._killed = False

    @property
    def pid(self) -> int | None:
        """Of the child, ``None`` while there is none."""
        return None if self._process is None else self._process.pid

    def __call__(self, data: Any) -> Any:
        """Return ``fn(data)``, or raise what it raised there.

        Raises
        ------
        streamzarr.errors.ProcessDiedError
            The child ended during the call. The next call starts another one.
        streamzarr.errors.ProcessError
            No child can be started, or there is no memory to share.
        """
        connection = self._started()
        packed = pack(data)
        self._there.grow(packed.nbytes)
        with self._there.memory as memory:
            packed.write(memory)
        try:
            connection.send((packed.frame, self._there.name, self._back.name))
            kind, answer = connection.recv()
            if kind == _GROW:
                self._back.grow(answer)
                connection.send(self._back.name)
                kind, answer = connection.recv()
        except (EOFError, ConnectionError) as error:
            raise ProcessDiedError(f"{self._name}: {self._ended()} while it worked on a message") from error
        if kind == _ERROR:
            raise answer
        with self._back.memory as memory:
            return unpack(answer, memory)

    def kill(self) -> bool:
        """End the child at once, and whatever it works on; no other is started. That can be done: true."""
        self._killed = True
        process = self._process
        if process is not None:
            process.kill()
        return True

    def close(self) -> None:
        """End the child, which works on nothing, and remove the shared memory."""
        if self._connection is not None:
            self._connection.close()  # the child reads its end, and ends
        if self._process is not None:
            self._ended()
        self._there.close()
        self._back.close()

    def _started(self) -> Connection[Any, Any]:
        if self._process is not None and self._process.exitcode is not None:
            self._ended()  # while it was idle: no message is to blame
        attempts = 0
        while self._connection is None:
            attempts += 1
            self._connection, end = self._start()
            if self._killed and self._connection is None:
                raise ProcessDiedError(f"{self._name}: {end} before it could begin")
            if attempts == STARTS and self._connection is None:
                raise ProcessError(
                    f"{self._name}: {end} before it could import {self._path}, {attempts} times; "
                    "its error is on stderr"
                )
        return self._connection

    def _start(self) -> tuple[Connection[Any, Any] | None, str]:
        """Start a child; return the connection when it is ready, or how it ended before."""
        context = multiprocessing.get_context("spawn")
        try:
            ours, theirs = context.Pipe()
            with theirs, ExitStack() as unstarted:
                unstarted.callback(ours.close)
                process = context.Process(
                    target=_serve, args=(self._path, theirs), name=self._name, daemon=True
                )
                process.start()
                unstarted.pop_all()
        except Exception as error:  # its classes are many: AssertionError where this process is a daemon
            raise ProcessError(f"{self._name}: no process can be started: {describe(error)}") from error
        self._process = process
        atexit.register(self.kill)  # a program that ends in the middle of a call would wait for it
        if self._killed:  # before there was anything to kill
            process.kill()
        try:
            ours.recv()
        except (EOFError, ConnectionError):
            ours.close()
            return None, self._ended()
        return ours, ""

    def _ended(self) -> str:
        """Wait for the end of the child, which has begun, forget it, and say how it ended."""
        process, self._process, self._connection = self._process, None, None
        assert process is not None
        atexit.unregister(self.kill)
        process.join(KILL_TIMEOUT)
        if process.exitcode is None:
            process.kill()
            process.join(KILL_TIMEOUT)
        code = process.exitcode
        if code is not None and code < 0:
            return f"process {process.pid} was ended by signal {-code}"
        return f"process {process.pid} exited with {code}"


# -- in the child ----------------------------------------------------------------------------------------


def _serve(path: str, connection: Connection[Any, Any]) -> None:
    """Answer calls until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    SYSTEM.thread(_end_with_parent, "streamzarr-lifeline").start()
    fn = _find(*path.split(":"))
    there, back = Attached(), Attached()
    connection.send(None)
    while True:
        try:
            frame, there_name, back_name = connection.recv()
        except EOFError:
            return
        except Exception as error:  # noqa: BLE001 - classes of the data have code of their own
            _send(connection, _ERROR, sendable(error))
            continue
        with there.memory(there_name) as memory:
            data = unpack(frame, memory)
        del frame
        try:
            packed = pack(fn(data))
        except BaseException as error:  # noqa: BLE001 - the function's own failure, whatever its class
            _send(connection, _ERROR, sendable(error))
        else:
            _reply(connection, packed, back, back_name)
            del packed
        del data  # nothing is kept while it waits


def _reply(connection: Connection[Any, Any], packed: Packed, back: Attached, name: str) -> None:
    with back.memory(name) as memory:
        room = len(memory)
    if room < packed.nbytes:
        connection.send((_GROW, packed.nbytes))
        name = connection.recv()
    with back.memory(name) as memory:
        packed.write(memory)
    _send(connection, _RESULT, packed.frame)


def _send(connection: Connection[Any, Any], kind: str, answer: Any) -> None:
    try:
        connection.send((kind, answer))
    except (ConnectionError, EOFError):
        raise
    except BaseException as error:  # noqa: BLE001 - what was to be sent has code of its own
        what = TransformError(f"the result cannot be sent to another process: {describe(error)}")
        connection.send((_ERROR, what))


def sendable(error: BaseException) -> BaseException:
    """Return `error` with its traceback as a note, or one that tells of it where it cannot travel itself."""
    error.add_note(f"in process {os.getpid()}:\n{traceback.format_exc()}")
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except BaseException:  # noqa: BLE001 - exceptions are foreign code
        return TransformError(describe(error))
    return error


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
