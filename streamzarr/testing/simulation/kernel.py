"""One processor, virtual time, and a seed that says who runs next.

Simulated threads are real ones of which exactly one holds the baton; the others block on a lock of their own.
So everything that Python keeps by thread (contexts, ``threading.local``, RxPY's trampolines) is as it will be
in earnest, and a killed thread simply never gets the baton again: none of its ``finally`` runs.
"""

from __future__ import annotations

import _thread
import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from streamzarr.testing.simulation.errors import DeadlockError, LivelockError, told
from streamzarr.testing.simulation.process import SimulatedProcess
from streamzarr.testing.simulation.trace import Trace

STEP_SECONDS = 20e-6
"""What a step costs at most in virtual time: whoever only polls does not stop the clock for the others."""
DEFAULT_MAX_STEPS = 400_000
DEFAULT_MAX_SECONDS = 3600.0


class SimulatedThread:
    """A thread that runs when it holds the baton."""

    __slots__ = ("baton", "ended", "joiners", "name", "process", "serial", "ticket", "where", "woken")

    def __init__(self, name: str, process: SimulatedProcess) -> None:
        self.name, self.process = name, process
        self.baton = _thread.allocate_lock()
        self.baton.acquire()
        self.where = ""
        """What it waits for; empty while it can run."""
        self.ticket = 0
        """Number of its latest wait: a timer of an earlier one is void."""
        self.woken = False
        self.ended = False
        self.joiners: list[SimulatedThread] = []

    def __str__(self) -> str:
        return f"{self.process.name}/{self.name}"


class Kernel:
    """Schedules simulated threads, one at a time, as the seed says.

    Every method is called by the thread that holds the baton. Only :meth:`step`, :meth:`park` and
    :meth:`sleep` pass it on; they return when the caller has it again, which for a killed process is never.

    Parameters
    ----------
    seed
        Of the schedule.
    restless
        Chance that a thread which could go on is interrupted at a step. 0 gives the shortest traces.
    """

    def __init__(
        self,
        seed: int | str,
        *,
        restless: float = 0.1,
        max_steps: int = DEFAULT_MAX_STEPS,
        max_seconds: float = DEFAULT_MAX_SECONDS,
    ) -> None:
        self.trace = Trace()
        self.time = 0.0
        self.steps = 0
        self.processes: list[SimulatedProcess] = []
        self.on_step: Callable[[SimulatedThread], None] = _ignore
        """Called at each step with the thread that takes it, before the next one is chosen. May not block."""
        self._random = Random(f"schedule {seed}")
        self._restless = restless
        self._max_steps, self._max_seconds = max_steps, max_seconds
        self._ready: list[SimulatedThread] = []
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count(1)
        self._failure: BaseException | None = None
        self._over = False
        self._main = SimulatedThread("main", self._new_process("world"))
        self.current = self._main
        self._threads = [self._main]

    # -- running -----------------------------------------------------------------------------------------

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the calling thread be the first simulated one; when it leaves, nobody runs any more."""
        self._ready = [self._main]
        try:
            yield
        finally:
            self._over = True

    def fail(self, error: BaseException) -> None:
        """End the simulation: the first error is raised on the world's main thread, by what it waits in."""
        if self._failure is None:
            self._failure = error
            self.trace.add(self.time, "world", f"{type(error).__name__}: {error}")

    def check_failure(self) -> None:
        """Raise the first error, if there is one; for the main thread."""
        if self._failure is not None:
            raise self._failure

    def step(self, what: str = "") -> None:
        """Let others run, perhaps: a point at which a thread can be interrupted, or killed."""
        me = self.current
        self._tick(me, what)
        if self._failure is None and me.process.runs and self._random.random() >= self._restless:
            return
        self._switch(me)

    def park(self, where: str, timeout: float | None = None) -> bool:
        """Wait until :meth:`wake`, at most `timeout` seconds; tell whether it was woken."""
        me = self.current
        me.where, me.woken = where, False
        me.ticket = ticket = next(self._numbers)
        self._ready.remove(me)
        if timeout is not None:
            self.at(self.time + max(0.0, timeout), lambda: self._expire(me, ticket))
        self._tick(me, "")
        self._switch(me)
        return me.woken

    def sleep(self, seconds: float, where: str) -> None:
        """Let virtual time pass."""
        if seconds > 0:
            self.park(where, seconds)

    def wake(self, thread: SimulatedThread) -> None:
        """Let a parked thread go on, when its turn comes; one that is not parked is left alone."""
        if thread.where and not thread.ended:
            thread.where, thread.woken = "", True
            self._ready.append(thread)

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Have `action` called when `time` has come; it may not block."""
        heapq.heappush(self._timers, (time, next(self._numbers), action))

    def choose(self, waiting: list[SimulatedThread]) -> SimulatedThread:
        """Take one out of several that wait for the same, as chance has it."""
        return waiting.pop(self._random.randrange(len(waiting)) if len(waiting) > 1 else 0)

    # -- threads and processes ---------------------------------------------------------------------------

    def thread(self, target: Callable[[], None], name: str) -> SimulatedThread:
        """Return a thread of the current process, to be started with :meth:`start`."""
        return self._new_thread(target, name, self.current.process)

    def start(self, thread: SimulatedThread) -> None:
        """Let a new thread run, when its turn comes."""
        thread.process.threads.append(thread)
        self._threads.append(thread)
        self._ready.append(thread)

    def spawn(self, target: Callable[[], int], name: str) -> SimulatedProcess:
        """Begin a process whose main thread runs `target`, which returns its exit code."""
        process = self._new_process(name)
        main = self._new_thread(lambda: self._run_main(process, target), "main", process)
        self.trace.add(self.time, name, "starts")
        self.start(main)
        return process

    def run_in(self, process: SimulatedProcess, target: Callable[[], None], name: str) -> None:
        """Begin a thread of another process, such as one that hears a signal; does not block."""
        self.start(self._new_thread(target, name, process))

    def _run_main(self, process: SimulatedProcess, target: Callable[[], int]) -> None:
        try:
            code = target()
        except BaseException as error:  # noqa: BLE001 - as an interpreter does with what nobody caught
            process.error, code = error, 1
        process.end(code)
        self.trace.add(self.time, process.name, f"ends with exit code {code}{_said(process.error)}")

    def _new_process(self, name: str) -> SimulatedProcess:
        process = SimulatedProcess(name, len(self.processes) + 1)
        self.processes.append(process)
        return process

    def _new_thread(
        self, target: Callable[[], None], name: str, process: SimulatedProcess
    ) -> SimulatedThread:
        thread = SimulatedThread(name, process)

        def body() -> None:
            thread.baton.acquire()
            try:
                target()
            except BaseException as error:  # noqa: BLE001 - in a thread nobody would hear of it
                self.trace.add(self.time, str(thread), f"dies of {told(error)}")
                process.thread_errors.append(error)
            thread.ended = True
            for joiner in thread.joiners:
                self.wake(joiner)
            self._ready.remove(thread)
            self._next().baton.release()

        threading.Thread(target=body, name=f"simulated {thread}", daemon=True).start()
        return thread

    # -- who is next -------------------------------------------------------------------------------------

    def _tick(self, me: SimulatedThread, what: str) -> None:
        self.steps += 1
        self.time += self._random.random() * STEP_SECONDS
        if what:
            self.trace.add(self.time, str(me), what)
        if me is not self._main:
            self.on_step(me)
        if self.steps > self._max_steps or self.time > self._max_seconds:
            self.fail(
                LivelockError(
                    f"not over after {self.steps} steps and {self.time:.0f} s of virtual time: {self.waits()}"
                )
            )

    def _switch(self, me: SimulatedThread) -> None:
        following = self._next()
        if following is not me:
            following.baton.release()
            me.baton.acquire()
        if me is self._main:
            self.check_failure()

    def _next(self) -> SimulatedThread:
        """Return who gets the baton, and note it; lets time pass until somebody can run."""
        while self._failure is None:
            while self._timers and self._timers[0][0] <= self.time:
                heapq.heappop(self._timers)[2]()
            able = [thread for thread in self._ready if thread.process.runs]
            if able:
                chosen = able[0] if len(able) == 1 else able[self._random.randrange(len(able))]
                if chosen is not self.current:
                    self.current = chosen
                    self.trace.add(self.time, str(chosen), "runs", loud=False)
                return chosen
            if not self._timers:
                self.fail(DeadlockError(f"nobody can go on: {self.waits()}"))
            else:
                self.time = max(self.time, self._timers[0][0])
        if self._main not in self._ready:
            self._ready.append(self._main)
        self._main.where = ""
        self.current = self._main
        return self._main

    def _expire(self, thread: SimulatedThread, ticket: int) -> None:
        if thread.where and thread.ticket == ticket:
            thread.where = ""
            self._ready.append(thread)

    def waits(self) -> str:
        """Say where each thread stands, for errors."""
        alive = [each for each in self._threads if not each.ended and not each.process.over]
        return "; ".join(f"{each} {_standing(each)}" for each in alive)


def _standing(thread: SimulatedThread) -> str:
    stopped = " (its process is stopped)" if not thread.process.runs else ""
    return (f"waits for {thread.where}" if thread.where else "can run") + stopped


def _said(error: BaseException | None) -> str:
    return "" if error is None else f": {told(error)}"


def _ignore(thread: SimulatedThread) -> None:
    """Do nothing."""
