"""One child process as its parent sees it: spawn, tell, read, kill, reap."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping

from streamzarr.runtime import Runtime
from streamzarr.supervisor import child
from streamzarr.supervisor.board import Slot, shared_file
from streamzarr.supervisor.protocol import Lines, encode

LAST_LINES = 20
"""Lines of output kept for the error message when a worker dies."""
_READ = 1 << 16
_LAST_READS = 64
"""A pipe holds 64 KiB, which one read of that size empties; 64 of them are patience enough."""


class Process:
    """A :class:`~streamzarr.supervisor.host.Child`: a process of this machine, from its spawn to its reaping.

    Its output (standard output and standard error, so that a worker's ``print`` cannot spoil what the parent
    writes for scripts) is read here, line by line.

    Threads: owned by the monitor thread. Nothing blocks: output, channel and death are announced by
    :meth:`descriptors` turning readable, except :meth:`close`, which may wait for the few microseconds in
    which a dying process turns into a zombie.

    Raises
    ------
    OSError
        The system cannot start another process, or is out of descriptors or memory.
    """

    def __init__(
        self,
        name: str,
        index: int,
        *,
        spec_fd: int,
        table_fd: int,
        env: Mapping[str, str] | None,
        emit: Callable[[str], object],
        runtime: Runtime,
    ) -> None:
        self._name = name
        self._emit = emit
        self.ready = False
        self.error: str | None = None
        """What it says of the error that ends it."""
        self.said_so = False
        """Whether it has said that it ends: without this word its end is a death, whatever the exit code."""
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._messages, self._output_lines = Lines(), Lines()
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as undo:
            slot_fd = shared_file(Slot.SIZE, name)
            theirs.callback(os.close, slot_fd)
            self.slot = Slot(slot_fd, runtime)
            undo.callback(self.slot.close)
            self._channel, their_channel = socket.socketpair()
            theirs.callback(their_channel.close)
            undo.callback(self._channel.close)
            self._output, their_output = os.pipe()
            theirs.callback(os.close, their_output)
            undo.callback(os.close, self._output)
            inherited = [
                _clear_of_stdio(fd, theirs) for fd in (their_channel.fileno(), slot_fd, table_fd, spec_fd)
            ]
            self.started_at = runtime.now()
            # By path and -P: nothing of the working directory comes into the way of the standard library.
            self._popen = subprocess.Popen(  # noqa: S603  our own file, no shell
                [sys.executable, "-u", "-P", child.__file__, name, str(index), str(os.getpid())]
                + [str(fd) for fd in inherited],
                stdin=subprocess.DEVNULL,
                stdout=their_output,
                stderr=their_output,
                pass_fds=inherited,
                env=None if env is None else {**os.environ, **env},
            )
            undo.pop_all()
        self._channel.setblocking(False)
        os.set_blocking(self._output, False)
        self.pid = self._popen.pid
        self._open = {self._channel.fileno(), self._output}
        self._pidfd = self._open_pidfd()

    def _open_pidfd(self) -> int | None:
        """Without pidfds (macOS, old kernels and sandboxes) the end of the channel announces the death."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            return None
        self._open.add(pidfd)
        return pidfd

    def descriptors(self) -> set[int]:
        """Descriptors to watch: one turns readable when there is something to :meth:`attend` to."""
        return self._open

    def attend(self, readable: set[int]) -> bool:
        """Read what there is to read from `readable` descriptors; return whether the process is dead."""
        if self._output in readable and self._read_output() == b"":
            self._open.discard(self._output)
        cut = self._channel.fileno() in readable and self._read_channel() == b""
        if cut:
            self._open.discard(self._channel.fileno())
        if self._pidfd is not None:
            return self._pidfd in readable
        if cut:  # dying, or it has closed what ties it to us and is of no more use
            self.kill()
        return cut

    def _read_output(self) -> bytes | None:
        """Read once and emit whole lines; return b"" at the end and None when nothing is there."""
        try:
            data = os.read(self._output, _READ)
        except BlockingIOError:
            return None
        for line in self._output_lines.feed(data):
            self._take_line(line)
        return data

    def _take_line(self, line: str) -> None:
        self.last_lines.append(line)
        self._emit(f"{self._name}: {line}\n")

    def _read_channel(self) -> bytes | None:
        """Read once and note what the worker says; return b"" at the end and None when nothing is there."""
        try:
            data = self._channel.recv(_READ)
        except BlockingIOError:
            return None
        except ConnectionResetError:  # it was closed with a command of ours unread
            return b""
        for line in self._messages.feed(data):
            message = json.loads(line)
            self.ready = self.ready or bool(message.get("ready"))
            self.error = message.get("error", self.error)
            self.said_so = self.said_so or bool(message.get("ended"))
        return data

    def tell_stop(self, drain: float) -> None:
        """Ask the process to drain before it is ended by force in `drain` seconds."""
        # One that is dead already cannot be told, and its death is about to be announced.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._channel.send(encode({"stop": drain}))

    def kill(self) -> None:
        """Send SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> int | None:
        """Reap the dead process, read what it left, free everything.

        Returns its exit code (-N: signal N), or None when other code of this program has reaped it.
        """
        exit_code = self._reap()
        # Bounded: a process that the worker started may outlive it and write to its output for ever.
        for _ in range(_LAST_READS):
            if not self._read_output():
                break
        for line in self._output_lines.rest():
            self._take_line(line)
        while self._read_channel():
            pass
        self.abandon()
        return exit_code

    def _reap(self) -> int | None:
        """Not by Popen.wait, which calls it exit code 0 when somebody else has reaped the child."""
        try:
            exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:
            exit_code = None
        self._popen.returncode = exit_code or 0  # it has nothing more to wait for
        return exit_code

    def abandon(self) -> None:
        """Free everything but the process itself, which is left to the kernel."""
        self.slot.close()
        self._channel.close()
        os.close(self._output)
        if self._pidfd is not None:
            os.close(self._pidfd)
        self._open.clear()


def _clear_of_stdio(fd: int, stack: contextlib.ExitStack) -> int:
    """Return `fd`, or a copy above 2: in a daemon without standard streams those numbers may be anything."""
    if fd > 2:
        return fd
    copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    stack.callback(os.close, copy)
    return copy
