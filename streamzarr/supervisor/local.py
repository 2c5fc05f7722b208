"""The machine that we run on as the host of worker processes."""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TextIO

from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.supervisor.board import CrashTable, shared_file
from streamzarr.supervisor.forward import Forwarder
from streamzarr.supervisor.lifeline import HELD_SIGNALS
from streamzarr.supervisor.options import SupervisionOptions
from streamzarr.supervisor.process import Process
from streamzarr.supervisor.spec import WorkerSpec


class LocalHost:
    """A :class:`~streamzarr.supervisor.host.Host`: each process is a fresh interpreter on this machine.

    Waits on pidfds, channels and outputs. Requests from other threads are a byte that wakes the wait.

    Threads: as the protocol says; the workers' output is written by a thread of its own.
    """

    crashes: CrashTable

    def __init__(
        self,
        spec: WorkerSpec,
        options: SupervisionOptions,
        *,
        env: Mapping[str, str] | None = None,
        stderr: TextIO | None = None,
        runtime: Runtime = SYSTEM,
    ) -> None:
        self._spec = spec
        self._options = options
        self._env = env
        self._runtime = runtime
        self._forwarder = Forwarder(stderr, runtime=runtime)

    @contextlib.contextmanager
    def open(self, at_exit: Callable[[], None]) -> Iterator[None]:
        """Hold what processes need while they run; `at_exit` is called when this program ends meanwhile."""
        # Spawned processes inherit this mask and lift it when they are ready for these signals.
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD_SIGNALS)
        with contextlib.ExitStack() as stack:
            stack.callback(self._forwarder.close)
            atexit.register(at_exit)
            stack.callback(atexit.unregister, at_exit)
            self._spec_fd = self._write_spec()
            stack.callback(os.close, self._spec_fd)
            self._table_fd = shared_file(CrashTable.SIZE, "crashes")
            stack.callback(os.close, self._table_fd)
            self.crashes = CrashTable(self._table_fd)
            stack.callback(self.crashes.close)
            self._woken, self._waker = socket.socketpair()
            for end in (self._woken, self._waker):
                end.setblocking(False)
                stack.enter_context(end)
            yield

    def _write_spec(self) -> int:
        """Lay the specification into memory that each worker reads by itself."""
        document = {
            "target": self._spec.target,
            "config": dict(self._spec.config),
            "drain": self._options.drain,
            "task_timeout": self._options.task_timeout,
            "max_memory": self._options.max_memory,
            "path": [str(entry) or str(Path.cwd()) for entry in sys.path],
        }
        encoded = json.dumps(document).encode()
        fd = shared_file(len(encoded), "spec")
        os.pwrite(fd, encoded, 0)
        return fd

    def launch(self, name: str, index: int) -> Process:
        """Start a process."""
        return Process(
            name,
            index,
            spec_fd=self._spec_fd,
            table_fd=self._table_fd,
            env=self._env,
            emit=self._forwarder.put,
            runtime=self._runtime,
        )

    def wait(self, descriptors: set[int], timeout: float) -> set[int]:
        """Block until one is readable or at its end or we are woken, at most `timeout` seconds."""
        poll = select.poll()
        for fd in descriptors:
            poll.register(fd, select.POLLIN)
        poll.register(self._woken.fileno(), select.POLLIN)
        readable = {fd for fd, _ in poll.poll(math.ceil(min(timeout, 3600.0) * 1000))}
        if self._woken.fileno() in readable:
            self._woken.recv(4096)
        return readable & descriptors

    def wake(self) -> None:
        """End a :meth:`wait`, this or the next one."""
        with contextlib.suppress(BlockingIOError):  # full: a wake-up is pending anyway
            self._waker.send(b"\0")

    def memory(self, pid: int) -> int | None:
        """Return the bytes of resident memory that a process uses; None if it is gone."""
        import psutil

        try:
            rss: int = psutil.Process(pid).memory_info().rss
        except psutil.Error:
            return None
        return rss
