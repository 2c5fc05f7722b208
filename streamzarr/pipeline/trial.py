"""A process that may be killed by what it works on, or for it: all that its death costs is that process."""

from __future__ import annotations

from typing import Any

from streamzarr.flow.dispatch.process import ChildProcess
from streamzarr.runtime import Runtime


class Trial:
    """Calls a function in a child, which is killed when a call takes too long; the next call has another.

    Threads: owned by one, which blocks in :meth:`__call__`; a thread of its own keeps the time.

    Parameters
    ----------
    path
        ``"module:function"``.
    timeout
        Seconds for a call; ``None``: for ever.
    """

    def __init__(self, path: str, timeout: float | None, runtime: Runtime) -> None:
        self._path, self._timeout, self._runtime = path, timeout, runtime
        self._child = self._made()

    def _made(self) -> ChildProcess:
        return ChildProcess(self._path, "streamzarr-trial")

    def __call__(self, data: Any) -> Any:
        """Return what the function returns; raises ``ProcessDiedError`` when its process dies."""
        if self._timeout is None:
            return self._child(data)
        child, over, late = self._child, self._runtime.event(), self._runtime.event()

        def watch() -> None:
            if not over.wait(self._timeout):
                late.set()
                child.kill()

        watching = self._runtime.thread(watch, "streamzarr-trial-time")
        watching.start()
        try:
            return child(data)
        finally:
            over.set()
            watching.join()
            if late.is_set():
                child.close()
                self._child = self._made()

    def kill(self) -> bool:
        """End a call that runs."""
        return self._child.kill()

    def close(self) -> None:
        """End the process."""
        self._child.close()
