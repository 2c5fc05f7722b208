"""Who is told of records that were not written; needs no broker."""

import threading

from confluent_kafka import KafkaError

from streamzarr.queue.kafka.idle import ClientFailures

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
