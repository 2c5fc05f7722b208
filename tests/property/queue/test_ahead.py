"""The text that says which records beyond a committed position are settled."""

from hypothesis import given
from hypothesis import strategies as st

from streamzarr.queue.ahead import decode, encode, joined, without
from streamzarr.queue.base import MAX_NOTE_BYTES

gaps = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), max_size=40)


def ranges(start, steps):
    found, at = [], start
    for gap, length in steps:
        found.append(range(at + gap, at + gap + length))
        at += gap + length
    return joined(found)


def offsets(done):
    return {offset for each in done for offset in each}


@given(st.integers(0, 1 << 60), gaps)
def test_what_is_encoded_is_decoded(position, steps):
    done = ranges(position, steps)
    assert decode(position, encode(position, done)) == done


@given(st.integers(0, 1 << 40), gaps, st.integers(0, 200))
def test_what_does_not_fit_is_left_out_and_nothing_is_added(position, steps, limit):
    done = ranges(position, steps)
    text = encode(position, done, limit)
    assert len(text.encode()) <= limit or text == ""
    assert offsets(decode(position, text)) <= offsets(done)


def test_a_thousand_holes_in_a_hundred_thousand_records_fit():
    done = ranges(0, [(1, 99)] * 1000)
    assert decode(0, encode(0, done)) == done
    one_slow = ranges(0, [(1, 10_000_000)])
    assert len(encode(0, one_slow)) < 60
    scattered = ranges(0, [(1 + n * n % 7, 1 + n * n % 11) for n in range(20_000)])
    assert 0 < len(encode(0, scattered)) <= MAX_NOTE_BYTES


@given(st.integers(0, 1 << 40), gaps, st.integers(-100, 100).filter(bool))
def test_a_text_that_was_copied_beside_another_position_says_nothing(position, steps, shift):
    text = encode(position, ranges(position, steps))
    assert decode(abs(position + shift), text) == [] or abs(position + shift) == position


@given(gaps.filter(bool), st.data())
def test_a_text_that_was_cut_or_lengthened_says_nothing(steps, data):
    text = encode(7, ranges(7, steps))
    cut = data.draw(st.integers(0, max(0, len(text) - 1)))
    assert decode(7, text[:cut]) == []
    if text:
        assert decode(7, text + text[-5:]) == []


@given(st.text(max_size=40) | st.text(max_size=40).map(lambda text: "streamzarr.ahead:2:100:" + text))
def test_a_text_of_somebody_else_says_nothing_or_something_orderly(text):
    done = decode(100, text)
    assert all(each.start >= 100 and each for each in done)
    assert done == sorted(done, key=lambda each: each.start)


@given(st.sets(st.integers(0, 400)).map(sorted), gaps)
def test_without_leaves_what_is_not_done(some, steps):
    done = ranges(0, steps)
    left = [offset for part in without(some, done) for offset in some[part]]
    assert left == [offset for offset in some if offset not in offsets(done)]
    assert all(some[part] for part in without(some, done))
