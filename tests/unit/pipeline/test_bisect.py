import math

from hypothesis import given
from hypothesis import strategies as st

from streamzarr.pipeline import Message
from streamzarr.pipeline.bisect import PROBES, Again, Verdict, bisect


def some(error, messages):
    return Verdict.SOME


def numbers(count):
    return [Message(data=n, place=n) for n in range(count)]


class Handler:
    """Refuses what is bad; takes note of what it has stored."""

    def __init__(self, bad=()):
        self.bad, self.calls, self.stored = set(bad), 0, []

    def __call__(self, messages):
        self.calls += 1
        if self.bad & {message.data for message in messages}:
            raise ValueError("bad")
        self.stored += [message.data for message in messages]
        return messages


def test_one_bad_record_in_a_batch_of_500_is_found_in_20_calls():
    for bad in (0, 1, 249, 250, 333, 499):
        handler = Handler([bad])
        found = bisect(numbers(500), handler, some, "store", list)
        assert [m.data for m in found.decided if m.failure] == [bad]
        assert sorted(handler.stored) == [n for n in range(500) if n != bad]
        assert handler.calls <= 20


@given(st.integers(1, 200), st.sets(st.integers(0, 199), max_size=6))
def test_good_ones_are_stored_once_in_order_and_bad_ones_fail(count, bad):
    bad = {n for n in bad if n < count}
    handler = Handler(bad)
    found = bisect(numbers(count), handler, some, "store", list)
    assert handler.stored == [n for n in range(count) if n not in bad]
    assert {m.data for m in found.decided if m.failure} == bad
    assert [m.data for m in found.decided] == list(range(count))
    assert not found.again
    assert handler.calls <= 1 + len(bad) * 2 * math.ceil(math.log2(max(2, count)))


def test_a_transient_error_keeps_what_is_done_and_puts_off_the_rest():
    def handle(messages):
        if any(m.data == 5 for m in messages):
            raise ConnectionError if len(messages) == 1 else ValueError
        return messages

    def judge(error, messages):
        return Again(messages, 2.0) if isinstance(error, ConnectionError) else Verdict.SOME

    found = bisect(numbers(8), handle, judge, "store", list)
    assert [m.data for m in found.decided] == [0, 1, 2, 3, 4]
    assert [m.data for m in found.again] == [5, 6, 7]
    assert found.after == 2.0


def test_all_fail_without_bisecting_when_the_error_says_so():
    handler = Handler([3])
    found = bisect(numbers(8), handler, lambda *_: Verdict.ALL, "store", list)
    assert handler.calls == 1
    assert all(m.failure.stage == "store" for m in found.decided)


def test_what_others_have_by_now_is_left_out_between_calls():
    gone = set()

    class Losing(Handler):
        def __call__(self, messages):
            gone.add(6)
            return super().__call__(messages)

    handler = Losing([0])
    found = bisect(numbers(8), handler, some, "store", lambda each: [m for m in each if m.data not in gone])
    assert 6 not in handler.stored
    assert sorted(m.data for m in found.decided) == [0, 1, 2, 3, 4, 5, 7]


def test_the_halves_of_a_batch_begin_to_count_attempts_anew():
    calls = []

    def handle(messages):
        calls.append([message.attempts for message in messages])
        raise ValueError

    bisect([Message(data=n, place=n, attempts=3) for n in range(2)], handle, some, "store", list)
    assert calls == [[3, 3], [0], [0]]


def some_or_all(error, messages):
    return Verdict.SOME_OR_ALL


def test_one_that_always_times_out_takes_no_other_along_whatever_its_place():
    for bad in (0, 1, 2, 3, 249, 250, 499):
        handler = Handler([bad])
        found = bisect(numbers(500), handler, some_or_all, "store", list)
        assert [m.data for m in found.decided if m.failure] == [bad]
        assert handler.stored == [n for n in range(500) if n != bad]
        assert handler.calls <= 24


def test_nobody_is_searched_for_while_what_all_need_is_away():
    handler = Handler(range(500))
    found = bisect(numbers(500), handler, some_or_all, "store", list)
    assert handler.calls == 1 + PROBES
    assert [m.data for m in found.decided] == list(range(500))
    assert all(isinstance(m.failure.error, ValueError) for m in found.decided)


def test_a_search_ends_soon_when_what_all_need_goes_away_meanwhile():
    class Leaving(Handler):
        def __call__(self, messages):
            if len(self.stored) >= 100:
                self.bad = set(range(500))
            return super().__call__(messages)

    handler = Leaving([400])
    found = bisect(numbers(500), handler, some_or_all, "store", list)
    done = len(handler.stored)
    assert done >= 100
    assert [m.data for m in found.decided if m.failure] == list(range(done, 500))
    assert handler.calls <= 40


@given(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=300))
def test_a_search_for_what_is_transient_is_bounded_and_forgets_nobody(count, bad):
    handler = Handler(bad)
    found = bisect(numbers(count), handler, some_or_all, "store", list)
    assert [m.data for m in found.decided] == list(range(count))
    assert handler.stored == [m.data for m in found.decided if not m.failure]
    assert not bad & set(handler.stored)
    failing = len(bad & set(range(count)))
    assert handler.calls <= 2 + PROBES + 2 * failing * count.bit_length()


@given(st.integers(4, 300), st.sets(st.integers(0, 299), max_size=2))
def test_two_that_always_time_out_are_found_too(count, bad):
    bad = {n for n in bad if n < count}
    handler = Handler(bad)
    found = bisect(numbers(count), handler, some_or_all, "store", list)
    assert {m.data for m in found.decided if m.failure} == bad


def test_what_is_searched_because_of_a_transient_error_is_not_tried_as_often_again():
    attempts = []

    def handle(messages):
        attempts.append({message.attempts for message in messages})
        if any(message.data == 6 for message in messages):
            raise TimeoutError
        return messages

    bisect([Message(data=n, place=n, attempts=3) for n in range(8)], handle, some_or_all, "store", list)
    assert set.union(*attempts) == {3}
