import threading

from streamzarr.runtime import SYSTEM


def test_each_thread_has_its_own_value_of_a_local_variable():
    counts, seen = SYSTEM.local(0), []

    def work():
        seen.append(counts.value)
        counts.value += 1
        seen.append(counts.value)

    counts.value = 10
    thread = SYSTEM.thread(work, "other")
    thread.start()
    thread.join()
    assert (counts.value, seen) == (10, [0, 1])


def test_a_thread_is_a_daemon_of_its_name():
    seen = []
    thread = SYSTEM.thread(lambda: seen.append(threading.current_thread()), "somebody")
    assert not thread.is_alive()
    thread.start()
    thread.join()
    assert not thread.is_alive()
    assert (seen[0].name, seen[0].daemon, thread.name) == ("somebody", True, "somebody")


def test_a_ring_before_the_wait_is_not_lost_and_counts_once():
    bell = SYSTEM.bell()
    bell.ring()
    bell.ring()
    assert bell.rung
    assert bell.wait(10.0)
    assert not bell.wait(0.0)


def test_clocks_go_forward_and_chance_is_below_one():
    assert SYSTEM.now() <= SYSTEM.now()
    assert SYSTEM.wall_ns() > 1_700_000_000_000_000_000
    assert all(0 <= SYSTEM.random() < 1 for _ in range(100))
    assert len(SYSTEM.random_bytes(16)) == 16
    assert SYSTEM.random_bytes(16) != SYSTEM.random_bytes(16)
