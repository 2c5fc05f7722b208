import os
import threading

import pytest

from streamzarr.errors import ConfigError, LimitExceededError
from streamzarr.supervisor.board import IN_FLIGHT_LIMIT, CrashTable, Slot, shared_file
from streamzarr.supervisor.protocol import Lines
from streamzarr.supervisor.report import Report, WorkerReport, describe_exit
from streamzarr.supervisor.supervision import Supervision

TOKEN = b"0123456789abcdef"


@pytest.fixture
def shared():
    fds = shared_file(Slot.SIZE, "slot"), shared_file(CrashTable.SIZE, "crashes")
    yield fds
    for fd in fds:
        os.close(fd)


@pytest.fixture
def supervision(shared):
    said = []
    one = Supervision("worker-3", 3, Slot(shared[0]), CrashTable(shared[1]), said.append)
    one.said = said
    return one


def test_first_beat_makes_ready_and_only_the_first(supervision, shared):
    seen = Slot(shared[0])
    assert seen.heartbeat is None
    supervision.beat()
    first = seen.heartbeat
    supervision.beat()
    assert seen.heartbeat > first
    assert supervision.said == [{"ready": True}]


def test_register_and_crashes(supervision, shared):
    supervision.started(TOKEN)
    supervision.started(TOKEN)
    assert Slot(shared[0]).in_flight() == (TOKEN, TOKEN)
    supervision.finished(TOKEN)
    supervision.finished(TOKEN)
    assert Slot(shared[0]).in_flight() == ()
    assert supervision.suspicion(TOKEN) is None
    CrashTable(shared[1]).add(TOKEN, "death", alone=True)
    assert supervision.suspicion(TOKEN) == (1, "death")


def test_a_token_that_only_shows_across_two_entries_is_not_found(supervision, shared):
    table = CrashTable(shared[1])
    table.add(bytes(8) + b"01234567", "death", alone=True)
    table.add(b"89abcdef" + bytes(8), "death", alone=True)
    assert supervision.suspicion(TOKEN) is None
    table.add(TOKEN, "death", alone=True)
    assert supervision.suspicion(TOKEN) == (1, "death")


@pytest.mark.parametrize("token", [b"", b"short", bytes(17)])
def test_token_of_wrong_size(supervision, shared, token):
    CrashTable(shared[1]).add(TOKEN, "death", alone=True)
    with pytest.raises(ConfigError, match="expected 16"):
        supervision.started(token)
    with pytest.raises(ConfigError, match="expected 16"):
        supervision.suspicion(token)
    with pytest.raises(ConfigError, match="not in flight"):
        supervision.finished(token)


def test_full_register_refuses_and_recovers(supervision):
    for number in range(IN_FLIGHT_LIMIT):
        supervision.started(number.to_bytes(16, "big"))
    with pytest.raises(LimitExceededError, match="4096 tokens in flight"):
        supervision.started(TOKEN)
    supervision.finished((7).to_bytes(16, "big"))
    supervision.started(TOKEN)


def test_register_from_many_threads(supervision, shared):
    def work(number):
        mine = bytes([number]) * 16
        for _ in range(500):
            supervision.started(mine)
            supervision.finished(mine)
        supervision.started(mine)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(Slot(shared[0]).in_flight()) == [bytes([number]) * 16 for number in range(8)]


def test_callbacks_run_once_in_a_thread_of_their_own_and_may_block(supervision):
    calls, gate = [], threading.Event()

    def callback(left):
        gate.wait(10)
        calls.append((left, threading.current_thread().name))

    supervision.on_stop(callback)
    assert not supervision.stop_requested
    assert supervision.drain_left == float("inf")
    supervision.request_stop(30.0)
    assert supervision.stop_requested
    assert supervision.wait_stop(0)
    supervision.request_stop(20.0)
    assert supervision.drain_left <= 20.0
    supervision.request_stop(60.0)
    assert supervision.drain_left <= 20.0
    gate.set()
    supervision.wait_drained()
    [(left, thread)] = calls
    assert 0 < left <= 30.0
    assert thread == "streamzarr-drain"


def test_callback_that_comes_late_is_called_at_once(supervision):
    supervision.request_stop(30.0)
    lefts = []
    supervision.on_stop(lefts.append)
    assert 29 < lefts[0] <= 30


def test_one_failing_callback_does_not_keep_the_others_from_running(supervision):
    lefts = []
    supervision.on_stop(lambda left: 1 / 0)
    supervision.on_stop(lefts.append)
    supervision.request_stop(5.0)
    with pytest.raises(ZeroDivisionError):
        supervision.wait_drained()
    assert len(lefts) == 1


def test_lines_are_bounded_and_survive_bad_bytes():
    lines = Lines(longest=4)
    assert lines.feed(b"abcdefghij") == ["abcd", "efgh"]
    assert lines.feed(b"\r\n\xff\n") == ["ij", "�"]
    assert lines.rest() == []


def test_report_in_words():
    good = WorkerReport("worker-0", 0, "drained", 0, 0, ())
    killed = WorkerReport("worker-1", 1, "killed", -9, 2, (TOKEN,))
    left = WorkerReport("worker-2", 2, "drained", 0, 0, (TOKEN,))
    assert Report((good,)).clean
    assert not Report((good, killed)).clean
    assert not Report((left,)).clean
    assert Report((good, killed, left)).left == (TOKEN, TOKEN)
    assert describe_exit(-200) == "signal 200"
