"""Items made on one thread, and worked at on others."""

import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamzarr.zarr.chunks.parallel import hand_over


class Item:
    """Can be referred to weakly."""


def counted(count, made, most):
    """Make items; note how many there are at a time, and on which thread they are made."""
    alive = weakref.WeakSet()
    for _ in range(count):
        item = Item()
        alive.add(item)
        made.add(threading.current_thread())
        most.append(len(alive))
        yield item
        del item


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_item_is_worked_at_and_made_by_the_caller(threads):
    made, most, done = set(), [], []
    hand_over(lambda item: done.append(id(item)), counted(50, made, most), threads)
    assert len(done) == 50
    assert made == {threading.current_thread()}
    assert max(most) <= threads + 1  # one may be let go of just now


def test_so_many_are_worked_at_together():
    together = threading.Barrier(4)
    hand_over(lambda _: together.wait(60), range(8), 5)


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_stops_the_rest_and_is_raised_at_the_end(threads):
    done, made = [], []

    def act(item):
        if item == 2:
            raise KeyError(item)
        done.append(item)

    def items():
        for item in range(1000):
            made.append(item)
            yield item

    with pytest.raises(KeyError, match="2"):
        hand_over(act, items(), threads)
    assert {0, 1} <= set(done)
    assert len(made) < 1000


def test_an_error_of_the_making_waits_for_what_is_under_way():
    gate, done = threading.Event(), []

    def items():
        yield 1
        gate.set()
        raise ValueError("no more")

    def act(item):
        assert gate.wait(60)
        done.append(item)

    with pytest.raises(ValueError, match="no more"):
        hand_over(act, items(), 3)
    assert done == [1]


def test_it_does_not_wait_for_a_thread_that_cannot_be_had(monkeypatch):
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    monkeypatch.setattr("streamzarr.zarr.chunks.parallel._pool", pool)
    ended = []

    def work():
        with pytest.raises(RuntimeError, match="after shutdown"):
            hand_over(print, range(3), 3)
        ended.append(True)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    assert ended
