"""The workers' output on its way to a stream that may not take it: a held terminal, a pipe nobody reads."""

from __future__ import annotations

import contextlib
import io
import select
import sys
from collections import deque
from typing import TextIO

from streamzarr.runtime import SYSTEM, Runtime, Thread

LIMIT = 1 << 20
"""Characters that wait for the stream; further lines are dropped, and counted."""
PATIENCE = 1.0
"""Seconds without any progress after which, at the end, nobody is expected to read the rest."""
_PIECE = 1000
"""Characters written at once: in any encoding less than PIPE_BUF, for which a pipe that is ready has room."""


class Forwarder:
    r"""Writes lines to a stream in a thread of its own, so that whoever hands them in is never held up.

    Threads: :meth:`put` may be called from any thread and does not block; :meth:`close` waits for the stream
    as long as it takes anything. The thread starts with the first line.

    Examples
    --------
    >>> out = io.StringIO()
    >>> forwarder = Forwarder(out)
    >>> forwarder.put("worker-0: hello\\n"); forwarder.close()
    >>> out.getvalue()
    'worker-0: hello\\n'
    """

    def __init__(
        self,
        stream: TextIO | None,
        *,
        limit: int = LIMIT,
        patience: float = PATIENCE,
        runtime: Runtime = SYSTEM,
    ) -> None:
        self._stream = stream
        self._limit = limit
        self._patience = patience
        self._runtime = runtime
        self._changed = runtime.condition()
        self._lines: deque[str] = deque()
        self._size = 0
        self._dropped = 0
        self._written = 0
        self._closing = self._abandoned = False
        self._thread: Thread | None = None

    def put(self, line: str) -> None:
        """Hand in a line, with its end."""
        with self._changed:
            if self._size + len(line) > self._limit:
                self._dropped += 1
                return
            self._tell_of_dropped()
            self._append(line)
            if self._thread is None:
                self._thread = self._runtime.thread(self._run, "streamzarr-output")
                self._thread.start()

    def _tell_of_dropped(self) -> None:
        if self._dropped:
            self._append(f"... {self._dropped} lines were dropped here, since nobody read them\n")
            self._dropped = 0

    def _append(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line)
        self._changed.notify_all()

    def close(self) -> None:
        """Wait until all is written, or the stream takes nothing any more; then what is left is forgotten."""
        with self._changed:
            self._closing = True
            self._tell_of_dropped()
            self._changed.notify_all()
            thread, before = self._thread, -1
            while self._lines and self._written != before:
                before = self._written
                self._changed.wait_for(lambda: not self._lines, self._patience)
            stuck = self._abandoned = bool(self._lines)
        if thread is not None and not stuck:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._lines) or self._closing)
                if not self._lines:
                    return
                line = self._lines[0]
            for start in range(0, len(line), _PIECE):
                if not self._write(line[start : start + _PIECE]):
                    return
            with self._changed:
                self._lines.popleft()
                self._size -= len(line)
                self._changed.notify_all()

    def _write(self, text: str) -> bool:
        """Write when the stream is ready for it; return False when it is not wanted any more."""
        stream = self._stream or sys.stderr
        with contextlib.suppress(OSError, ValueError):  # closed by its owner: nobody wants to read it
            if stream is not None:
                while not _is_ready(stream, 0.1):
                    if self._abandoned:
                        return False
                stream.write(text)
                stream.flush()
        self._written += 1
        return True


def _is_ready(stream: TextIO, timeout: float) -> bool:
    """Whether a short write will not block; of what is no file, none does."""
    try:
        fd = stream.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return True
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(timeout * 1000))
