"""What simulated threads wait with: bells, locks, conditions, events, each other."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from streamzarr.testing.simulation.kernel import Kernel, SimulatedThread


class SimulatedBell:
    """A :class:`streamzarr.runtime.Bell`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._rung = False
        self._waiting: SimulatedThread | None = None

    @property
    def rung(self) -> bool:
        """True when the next :meth:`wait` returns at once."""
        return self._rung

    def ring(self) -> None:
        """Wake the owner, now or at its next :meth:`wait`."""
        self._rung = True
        if self._waiting is not None:
            self._kernel.wake(self._waiting)

    def wait(self, timeout: float) -> bool:
        """Block until a ring, at most `timeout` seconds; tell whether it rang."""
        if self._rung or timeout <= 0:
            self._kernel.step()
        else:
            self._waiting = self._kernel.current
            self._kernel.park("a bell", timeout)
            self._waiting = None
        rung, self._rung = self._rung, False
        return rung


class SimulatedLock:
    """A :class:`streamzarr.runtime.Lock`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._owner: SimulatedThread | None = None
        self._waiting: list[SimulatedThread] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, waiting at most `timeout` seconds; tell whether it was taken."""
        kernel = self._kernel
        kernel.step()
        me = kernel.current
        deadline = None if timeout < 0 else kernel.time + timeout
        while self._owner is not None:
            if not blocking or (deadline is not None and kernel.time >= deadline):
                return False
            self._waiting.append(me)
            left = None if deadline is None else deadline - kernel.time
            kernel.park(f"a lock that {self._owner} holds", left)
            _withdraw(me, self._waiting)
        self._owner = me
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._owner is None:
            raise RuntimeError("release of a lock that nobody holds")
        self._owner = None
        if self._waiting:
            self._kernel.wake(self._kernel.choose(self._waiting))

    def locked(self) -> bool:
        """Tell whether somebody holds it."""
        return self._owner is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.release()


class SimulatedReentrantLock(SimulatedLock):
    """A lock that its owner may take again."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, once more if it is ours; tell whether it was taken."""
        if self._owner is self._kernel.current or super().acquire(blocking, timeout):
            self._depth += 1
            return True
        return False

    def release(self) -> None:
        """Give the lock back, when it was released as often as it was taken."""
        if self._owner is not self._kernel.current:
            raise RuntimeError("release of a lock that is not ours")
        self._depth -= 1
        if self._depth == 0:
            super().release()


class SimulatedCondition(SimulatedReentrantLock):
    """A :class:`streamzarr.runtime.Condition`."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self._sleeping: list[SimulatedThread] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Block until notified, at most `timeout` seconds; tell whether it was notified."""
        me, depth = self._kernel.current, self._depth
        if self._owner is not me:
            raise RuntimeError("wait on a condition whose lock is not ours")
        self._depth = 0
        SimulatedLock.release(self)
        self._sleeping.append(me)
        self._kernel.park("a condition", timeout)
        notified = not _withdraw(me, self._sleeping)
        SimulatedLock.acquire(self)
        self._depth = depth
        return notified

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Block until `predicate` is true, at most `timeout` seconds; return what it says then."""
        deadline = None if timeout is None else self._kernel.time + timeout
        while not (result := predicate()):
            left = None if deadline is None else deadline - self._kernel.time
            if left is not None and left <= 0:
                return result
            self.wait(left)
        return result

    def notify(self, n: int = 1) -> None:
        """Wake up to `n` of those who wait."""
        for _ in range(min(n, len(self._sleeping))):
            self._kernel.wake(self._kernel.choose(self._sleeping))

    def notify_all(self) -> None:
        """Wake all who wait."""
        self.notify(len(self._sleeping))


class SimulatedEvent:
    """A :class:`streamzarr.runtime.Event`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._flag = False
        self._waiting: list[SimulatedThread] = []

    def is_set(self) -> bool:
        """Tell whether the flag is up."""
        return self._flag

    def set(self) -> None:
        """Raise the flag."""
        self._flag = True
        while self._waiting:
            self._kernel.wake(self._waiting.pop())

    def clear(self) -> None:
        """Lower the flag."""
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the flag is up, at most `timeout` seconds; tell whether it is."""
        kernel = self._kernel
        if self._flag:
            kernel.step()
            return True
        me = kernel.current
        self._waiting.append(me)
        kernel.park("an event", timeout)
        return not _withdraw(me, self._waiting)


class ThreadHandle:
    """A :class:`streamzarr.runtime.Thread`."""

    def __init__(self, kernel: Kernel, target: Callable[[], None], name: str) -> None:
        self._kernel = kernel
        self._target, self._name = target, name
        self._thread: SimulatedThread | None = None

    @property
    def name(self) -> str:
        """What it is called, for people."""
        return self._name

    def start(self) -> None:
        """Begin, as a thread of the process that starts it."""
        self._thread = self._kernel.thread(self._target, self._name)
        self._kernel.start(self._thread)
        self._kernel.step()

    def join(self, timeout: float | None = None) -> None:
        """Block until it has ended, at most `timeout` seconds."""
        thread = self._thread
        if thread is None:
            raise RuntimeError(f"thread {self._name!r} was not started")
        if not thread.ended:
            thread.joiners.append(self._kernel.current)
            self._kernel.park(f"the end of {thread}", timeout)
            _withdraw(self._kernel.current, thread.joiners)

    def is_alive(self) -> bool:
        """Tell whether it was started and has not ended."""
        return self._thread is not None and not self._thread.ended


def _withdraw(thread: SimulatedThread, waiting: list[SimulatedThread]) -> bool:
    """Take a thread off a list that whoever wakes it has not taken it off; tell whether it was there.

    It may have been chosen after its time was up and before it could run: then it was not in vain.
    """
    if thread in waiting:
        waiting.remove(thread)
        return True
    return False
