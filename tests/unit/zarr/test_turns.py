"""Brief reads of several threads go one after the other; long ones do not wait for each other."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.stores import MemoryStore
from streamzarr.testing.faults import LatencyStore
from streamzarr.zarr.chunks import turns
from streamzarr.zarr.chunks.turns import ASIDE, SLOW, Turns


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only as the test says."""

    class Clock:
        now = 0.0

    monkeypatch.setattr(turns.time, "perf_counter", lambda: Clock.now)
    return Clock


def test_brief_reads_take_turns(clock, monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE", 60)
    taking, inside, most = Turns(), 0, 0

    def read():
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        os.stat(".")  # lets go of the GIL
        inside -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: [taking.read(read) for _ in range(200)], range(4)))
    assert most == 1


def test_reads_that_wait_for_a_disk_go_side_by_side(clock):
    taking = Turns()

    def slow():
        clock.now += 2 * turns.BRIEF

    for _ in range(SLOW):
        taking.read(slow)
    meeting = threading.Barrier(4, timeout=30)  # four readers must be here at once, or this fails
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: taking.read(meeting.wait), range(4)))


def test_one_slow_read_is_an_accident_and_slow_times_end(clock, monkeypatch):
    taking = Turns()

    def read(seconds):
        clock.now += seconds
        return taking._lock.locked()

    for _ in range(3 * SLOW):
        assert taking.read(lambda: read(2 * turns.BRIEF))
        assert taking.read(lambda: read(0))
    for _ in range(SLOW):
        assert taking.read(lambda: read(2 * turns.BRIEF))
    for _ in range(ASIDE):
        assert not taking.read(lambda: read(0))
    assert taking.read(lambda: read(0))


def test_a_reader_that_stays_away_is_not_waited_for():
    taking = Turns()
    with taking._lock:
        assert taking.read(lambda: 7) == 7


def test_errors_leave_the_turn_free():
    taking = Turns()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            taking.read(lambda: 1 // 0)
        assert not taking._lock.locked()


@pytest.mark.parametrize(
    ("options", "takes"),
    [
        ({"chunks": 100, "compressors": None}, True),
        ({"chunks": 100, "compressors": "zstd"}, False),  # decodes without the GIL
        ({"chunks": 100_000, "compressors": None}, False),
        ({"chunks": 100, "shards": 1000, "compressors": None}, False),
    ],
)
def test_which_arrays_are_read_in_turn(options, takes):
    z = sz.create_array("memory://", data=np.arange(100_000), **options)
    assert z._io.takes_turns is takes
    assert z[70:75].tolist() == [70, 71, 72, 73, 74]


def test_arrays_on_a_slow_store_are_read_by_all_threads():
    store = LatencyStore(MemoryStore(), 0.001)
    z = sz.create_array(store, data=np.arange(1000), chunks=10, compressors=None)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda n: int(z[n]), range(0, 1000, 7))) == list(range(0, 1000, 7))
