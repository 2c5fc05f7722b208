"""Who is told of records that were not written; needs no broker."""

import os
import threading

from confluent_kafka import KafkaError

from streamzarr.queue.kafka.handle import Handle
from streamzarr.queue.kafka.idle import ClientFailures, IdleClients

REFUSED = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)


class Refused:
    def topic(self):
        return "t"

    def partition(self):
        return 1


def in_thread(function):
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    return result[0]


def take(failures):
    counts, error = failures.take()
    assert (error is None) == (not counts)
    return counts.total()


def test_the_sender_is_told_once():
    failures = ClientFailures()
    failures.expect_mine()
    failures.note(REFUSED, Refused())
    failures.note(REFUSED, Refused())
    counts, error = failures.take()
    assert counts == {("t", 1): 2}
    assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert take(failures) == 0


def test_every_sender_is_told_whoever_heard_of_it_first():
    failures = ClientFailures()
    failures.expect_mine()

    def other():
        failures.expect_mine()
        failures.note(REFUSED, Refused())
        return take(failures)

    assert in_thread(other) == 1
    assert take(failures) == 1, "it may have been ours"
    assert take(failures) == 0


def test_a_thread_that_only_flushes_is_told_what_nobody_was_told():
    failures = ClientFailures()
    failures.note(REFUSED, Refused())
    assert in_thread(lambda: take(failures)) == 1
    assert in_thread(lambda: take(failures)) == 0, "told before"


def test_a_new_sender_is_not_told_of_the_past():
    failures = ClientFailures()
    failures.note(REFUSED, Refused())
    failures.expect_mine()
    assert take(failures) == 0


def test_success_is_not_noted():
    failures = ClientFailures()
    failures.expect_mine()
    failures.note(None, Refused())
    assert take(failures) == 0


def test_who_has_nothing_on_its_way_is_not_told_of_what_others_lose():
    failures = ClientFailures()
    failures.expect_mine()
    assert take(failures) == 0
    failures.expect_none()  # flushed

    def other():
        failures.expect_mine()
        failures.note(REFUSED, Refused())
        return take(failures)

    assert in_thread(other) == 1
    failures.expect_mine()
    assert take(failures) == 0


def test_the_next_user_of_a_client_hears_of_none_of_its_failures():
    """One thread has sent and never flushed; another was told, flushed and closed."""
    failures, idle = ClientFailures(), IdleClients()
    failures.expect_mine()
    failures.note(REFUSED, Refused())
    assert in_thread(lambda: take(failures)) == 1
    idle.give(Handle(object()), failures)
    assert idle.take()[1] is failures
    failures.expect_mine()
    assert take(failures) == 0
    failures.note(REFUSED, Refused())
    assert take(failures) == 1


def test_a_fork_takes_no_client_of_its_parent():
    idle = IdleClients()
    idle.give(Handle(object()), ClientFailures())
    child = os.fork()
    if not child:
        os._exit(0 if idle.take() is None else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert idle.take() is not None
    assert idle.take() is None
