"""The machine's runtime with a clock of its own, which moves when the test says so or somebody pauses."""

import threading

from streamzarr.runtime import SystemRuntime


class Clockwork(SystemRuntime):
    """Waiting on an event with a timeout only moves the clock by it; all else is the machine's."""

    def __init__(self, start=1000.0):
        self.time = start
        self.pauses = []

    def now(self):
        return self.time

    def wall_ns(self):
        return round(self.time * 1e9)

    def random(self):
        return 0.0

    def event(self):
        return _Event(self)


class _Event(threading.Event):
    def __init__(self, runtime):
        super().__init__()
        self._runtime = runtime

    def wait(self, timeout=None):
        if timeout is None or self.is_set():
            return super().wait()
        self._runtime.pauses.append(timeout)
        self._runtime.time += timeout
        return self.is_set()
