"""Work shared out to threads has ended, all of it, when whoever asked for it is told how it went."""

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamzarr.stores.parallel import in_parallel
from streamzarr.zarr.chunks import parallel
from streamzarr.zarr.chunks.parallel import for_each, hand_over

PATIENCE = 20.0


class Held:
    """An action that begins, and goes on when it is let."""

    def __init__(self):
        self.begun, self.go, self.done = threading.Event(), threading.Event(), []

    def __call__(self, number):
        self.begun.set()
        assert self.go.wait(PATIENCE)
        self.done.append(number)


class FewThreads(ThreadPoolExecutor):
    """Has one thread; a second cannot be had, which it says once one has begun to work."""

    def __init__(self, held):
        super().__init__(4)
        self.held = held

    def _adjust_thread_count(self):
        if self._threads:
            assert self.held.begun.wait(PATIENCE)
            threading.Timer(0.1, self.held.go.set).start()
            raise RuntimeError("can't start new thread")
        super()._adjust_thread_count()


@pytest.mark.parametrize("share_out", [for_each, hand_over])
def test_without_threads_nothing_goes_on_behind_the_error(monkeypatch, share_out):
    held = Held()
    with FewThreads(held) as pool:
        monkeypatch.setattr(parallel, "_pool", pool)
        with pytest.raises(RuntimeError, match="new thread"):
            share_out(held, range(20), 4)
        done = [*held.done]
        assert len(done) == 1
    assert held.done == done  # the pool has ended


def is_waiting(thread):
    """Tell whether a thread waits for others to end their work, not for one to begin."""
    names, frame = set(), sys._current_frames()[thread.ident]
    while frame is not None:
        names.add(frame.f_code.co_name)
        frame = frame.f_back
    return "start" not in names and not names.isdisjoint({"_end", "acquire", "result"})


@pytest.mark.parametrize("items", [2, 4])
@pytest.mark.parametrize("share_out", [for_each, hand_over, in_parallel])
def test_after_ctrl_c_nothing_goes_on_behind_it(share_out, items):
    held, main = Held(), threading.main_thread()
    assert threading.current_thread() is main

    def action(number):
        if threading.current_thread() is main:
            assert held.begun.wait(PATIENCE)
        else:
            held(number)

    def press():
        assert held.begun.wait(PATIENCE)
        while not is_waiting(main):
            pass
        signal.pthread_kill(main.ident, signal.SIGINT)
        threading.Timer(0.1, held.go.set).start()

    threading.Thread(target=press).start()
    with pytest.raises(KeyboardInterrupt):
        share_out(action, range(items), 3)
    done = [*held.done]
    assert done
    parallel._executor().submit(int).result(PATIENCE)
    assert held.done == done


def test_of_several_errors_what_ends_the_program_is_raised():
    together = threading.Barrier(2)

    def action(number):
        together.wait(PATIENCE)
        raise ValueError if number else SystemExit

    for _ in range(20):
        with pytest.raises(SystemExit):
            for_each(action, range(2), 2)


EXITS = """
import signal, threading
from streamzarr.zarr.chunks.parallel import for_each

main, begin = threading.main_thread().ident, threading.Thread.start


def interrupted(thread):
    if thread.name.startswith("streamzarr-chunk") and threading.get_ident() == main:
        signal.raise_signal(signal.SIGINT)
    begin(thread)


threading.Thread.start = interrupted
for_each(abs, range(8), 2)
print("done")
"""


def test_ctrl_c_cannot_come_while_the_first_thread_starts():
    done = subprocess.run([sys.executable, "-c", EXITS], capture_output=True, timeout=60, text=True)
    assert (done.returncode, done.stdout) == (0, "done\n")


@pytest.mark.parametrize("share_out", [for_each, hand_over])
def test_the_error_of_the_first_item_that_fails_is_raised_whichever_comes_first(share_out):
    failed = threading.Event()

    def action(number):
        if number == 0:
            assert failed.wait(PATIENCE)
        failed.set()
        raise ValueError(number)

    for _ in range(20):
        failed.clear()
        with pytest.raises(ValueError, match="0"):
            share_out(action, range(5), 3)
