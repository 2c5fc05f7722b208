"""The simulated machine: lockstep, virtual time, deadlocks, and deaths that clean nothing up."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable

import pytest

from streamzarr.testing.simulation.errors import DeadlockError, LivelockError
from streamzarr.testing.simulation.kernel import Kernel
from streamzarr.testing.simulation.runtime import SimulatedRuntime


def simulated(seed: int, scenario: Callable[[SimulatedRuntime], object], **options: float) -> Kernel:
    kernel = Kernel(seed, **options)
    with kernel.running():
        scenario(SimulatedRuntime(kernel, seed))
    return kernel


def crowd(runtime: SimulatedRuntime) -> list[tuple[str, int]]:
    """Let three threads take turns at a condition; return who had it when."""
    turns: list[tuple[str, int]] = []
    changed = runtime.condition()

    def work(name: str) -> None:
        for number in range(5):
            with changed:
                turns.append((name, number))
                changed.notify()
                changed.wait(runtime.random())

    threads = [runtime.thread(lambda name=name: work(name), name) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return turns


def test_a_seed_gives_the_same_run_twice() -> None:
    runs = [simulated(7, crowd) for _ in range(2)]
    assert runs[0].trace.digest() == runs[1].trace.digest()
    assert runs[0].time == runs[1].time


def test_seeds_give_different_runs() -> None:
    assert len({simulated(seed, crowd).trace.digest() for seed in range(10)}) == 10


def test_an_hour_of_waiting_takes_no_time() -> None:
    kernel = simulated(1, lambda runtime: runtime.bell().wait(3500))
    assert 3500 <= kernel.time < 3501


def test_nobody_can_go_on_is_an_error_that_says_who_waits_where() -> None:
    def embrace(runtime: SimulatedRuntime) -> None:
        one, two = runtime.lock(), runtime.lock()
        met = runtime.event()

        def other() -> None:
            with two:
                met.set()
                one.acquire()

        thread = runtime.thread(other, "other")
        with one:
            thread.start()
            met.wait()
            two.acquire()

    with pytest.raises(
        DeadlockError, match=r"world/main waits for a lock that world/other holds; .*world/other waits"
    ):
        simulated(1, embrace)


def test_a_run_that_never_ends_is_an_error() -> None:
    def spin(runtime: SimulatedRuntime) -> None:
        while True:
            runtime.bell().wait(0.0)

    with pytest.raises(LivelockError, match="not over after 1001 steps"):
        simulated(1, spin, max_steps=1000)


def test_a_killed_process_runs_no_finally_and_nothing_else() -> None:
    noted: list[str] = []

    def scenario(runtime: SimulatedRuntime) -> None:
        def victim() -> int:
            try:
                noted.append("begun")
                runtime.bell().wait(100)
                noted.append("went on")
            finally:
                noted.append("finally")
            return 0

        process = runtime.kernel.spawn(victim, "victim")
        runtime.bell().wait(1)
        process.kill()
        runtime.bell().wait(1000)
        assert process.exit_code == -9

    simulated(1, scenario)
    assert noted == ["begun"]


def test_a_process_can_be_killed_at_any_of_its_steps() -> None:
    deaths = set()
    for step in range(1, 12):
        done: list[int] = []

        def scenario(runtime: SimulatedRuntime, step: int = step, done: list[int] = done) -> None:
            def count() -> int:
                for number in range(10):
                    runtime.kernel.step(f"step {number}")
                    done.append(number)
                return 0

            def look(thread: object) -> None:
                victim.steps += 1
                if victim.steps == step:
                    victim.kill()

            victim = runtime.kernel.spawn(count, "victim")
            runtime.kernel.on_step = look
            runtime.bell().wait(1)

        simulated(1, scenario)
        deaths.add(len(done))
    assert deaths == set(range(11))


def test_a_stopped_process_goes_on_later() -> None:
    def scenario(runtime: SimulatedRuntime) -> None:
        times: list[float] = []

        def tick() -> int:
            for _ in range(5):
                runtime.bell().wait(1.0)
                times.append(runtime.kernel.time)
            return 0

        process = runtime.kernel.spawn(tick, "ticker")
        runtime.bell().wait(2.5)
        process.stop()
        runtime.bell().wait(60)
        process.go_on()
        runtime.bell().wait(60)
        assert [round(time) for time in times[:2]] == [1, 2]
        assert times[2] > 62
        assert len(times) == 5

    simulated(1, scenario)


def test_each_thread_has_what_python_keeps_by_thread() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    local = threading.local()
    seen: list[tuple[str, str, bool]] = []

    def scenario(runtime: SimulatedRuntime) -> None:
        def work(name: str) -> None:
            before = variable.get()
            variable.set(name)
            local.name = name
            runtime.bell().wait(runtime.random())
            seen.append((before, variable.get(), local.name == name))

        threads = [runtime.thread(lambda name=name: work(name), name) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    simulated(3, scenario)
    assert sorted(seen) == [("none", name, True) for name in "abcd"]


def test_what_a_thread_dies_of_is_kept() -> None:
    def scenario(runtime: SimulatedRuntime) -> None:
        def fail() -> None:
            raise ValueError("bad luck")

        thread = runtime.thread(fail, "unlucky")
        thread.start()
        thread.join()
        assert not thread.is_alive()

    kernel = simulated(1, scenario)
    assert "dies of ValueError: bad luck" in kernel.trace.text(10)


def test_the_other_waiters_of_a_lock_each_get_it() -> None:
    def scenario(runtime: SimulatedRuntime) -> None:
        lock, holders = runtime.lock(), []

        def work(name: int) -> None:
            for _ in range(5):
                with lock:
                    holders.append(name)
                    runtime.bell().wait(0.01)
                    assert holders[-1] == name

        threads = [runtime.thread(lambda name=name: work(name), str(name)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(holders) == 20
        assert not lock.acquire(blocking=False) or lock.release() is None

    for seed in range(20):
        kernel = simulated(seed, scenario)
        assert not [line for line in kernel.trace.entries if "dies" in line.what]
