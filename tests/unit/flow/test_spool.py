import os
import tracemalloc

import pytest

from streamzarr.errors import ConfigError, StreamzarrError
from streamzarr.flow.spool import Spool

HEADER = 24


def test_items_of_a_queue_come_back_in_order_whatever_the_others_do():
    with Spool("1MB") as spool:
        for number in range(50):
            assert spool.append(b"%d" % number, queue=number % 3)
        assert (spool.count(0), spool.count(1), spool.count(2), len(spool)) == (17, 17, 16, 50)
        assert [spool.take(2) for _ in range(16)] == [b"%d" % n for n in range(2, 50, 3)]
        assert spool.take(2) is None
        assert [spool.take(0) for _ in range(17)] == [b"%d" % n for n in range(0, 50, 3)]
        assert spool.append(b"again", queue=2)
        assert [spool.take(2), spool.take(2)] == [b"again", None]


def test_an_empty_item_is_an_item():
    with Spool(100) as spool:
        assert spool.append(b"")
        assert spool.take() == b""
        assert spool.take() is None


def test_at_the_bound_nothing_changes_and_there_is_room_again_after_taking():
    with Spool(4 * (HEADER + 10)) as spool:
        assert [spool.append(b"%010d" % n) for n in range(5)] == [True, True, True, True, False]
        assert (len(spool), spool.nbytes) == (4, spool.max_bytes)
        assert spool.take() == b"%010d" % 0
        assert spool.append(b"%010d" % 4)
        assert [spool.take() for _ in range(5)] == [b"%010d" % n for n in (1, 2, 3, 4)] + [None]
        assert spool.nbytes == 0


def test_an_item_bigger_than_the_spool_never_fits():
    with Spool(100) as spool:
        assert spool.fits(100 - HEADER)
        assert spool.append(bytes(100 - HEADER))
        assert not spool.fits(101 - HEADER)
        assert not spool.append(bytes(101 - HEADER))


def test_a_dropped_queue_leaves_its_room_and_the_others():
    with Spool(10_000) as spool:
        for n in range(100):
            assert spool.append(b"%05d" % n, queue=n % 2)
        assert spool.drop(0) == 50
        assert spool.drop(0) == 0
        assert [spool.take(1) for _ in range(50)] == [b"%05d" % n for n in range(1, 100, 2)]
        assert (spool.nbytes, len(spool)) == (0, 0)


def test_a_queue_that_never_empties_uses_the_room_of_what_was_taken():
    with Spool(100_000) as spool:
        for n in range(200):
            assert spool.append(b"%01000d" % n) or n >= 90
            if n >= 50:
                assert spool.take() == b"%01000d" % (n - 50)
        assert len(spool) == 50


def test_memory_does_not_grow_with_the_items():
    with Spool("100MB") as spool:
        spool.append(b"warm")
        tracemalloc.start()
        try:
            for _ in range(20_000):
                spool.append(b"x" * 100)
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert grown < 50_000


def test_the_files_have_no_names_and_go_with_close(tmp_path):
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    spool = Spool(1_000, directory=str(tmp_path))
    for _ in range(20):
        spool.append(b"x" * 20)
    assert os.listdir(tmp_path) == []
    spool.close()
    if before:
        assert set(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("failing_call", [1, 2])
def test_a_full_disk_is_an_error_that_changes_nothing(monkeypatch, failing_call):
    with Spool(10_000) as spool:
        assert spool.append(b"first")
        pwrite, calls = os.pwrite, []

        def full(fd, data, offset):
            calls.append(offset)
            if len(calls) == failing_call:
                raise OSError(28, "No space left on device")
            return pwrite(fd, data, offset)

        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(StreamzarrError, match=r"spooling 6 bytes in .*No space left"):
            spool.append(b"second")
        assert (len(spool), spool.nbytes) == (1, HEADER + 5)
        assert spool.append(b"third")
        assert [spool.take(), spool.take(), spool.take()] == [b"first", b"third", None]


def test_what_the_disk_does_not_give_back_is_an_error_and_stays():
    with Spool(10_000) as spool:
        spool.append(b"whole")
        file = spool._segments[1].file
        file.truncate(HEADER + 2)
        with pytest.raises(StreamzarrError, match="gave back 2 of 5 spooled bytes"):
            spool.take()
        assert spool.count() == 1


def test_short_writes_are_continued(monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: pwrite(fd, bytes(data[:7]), offset))
    with Spool(10_000) as spool:
        assert spool.append(b"longer than seven bytes")
        assert spool.append(b"second")
        assert [spool.take(), spool.take()] == [b"longer than seven bytes", b"second"]


def test_a_bound_below_one_is_refused():
    with pytest.raises(ConfigError, match="expected at least 1"):
        Spool(0)
