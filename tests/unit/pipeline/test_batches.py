import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.errors import ConfigError
from streamzarr.flow.message import Message as Part
from streamzarr.pipeline import Batcher, Message
from streamzarr.pipeline.batches import Batches


def part(data, nbytes=0, **fields):
    return Part(data=Message(data=data, nbytes=nbytes, **fields), nbytes=nbytes)


def add(batches, *parts, lane=None, now=0.0):
    return [batch for each in parts for batch in batches.add(each, lane, now)]


def datas(batch):
    return [each.data.data for each in batch.parts]


def test_by_count():
    batches = Batches(Batcher(size=3))
    found = add(batches, *map(part, range(7)))
    assert [datas(batch) for batch in found] == [[0, 1, 2], [3, 4, 5]]
    assert {batch.info.trigger for batch in found} == {"size"}
    assert batches.waiting == 1


def test_by_bytes_never_above_them_unless_one_message_is():
    batches = Batches(Batcher(size=100, bytes=10))
    found = add(batches, part("a", 4), part("b", 4), part("c", 4), part("d", 6), part("e", 25), part("f", 1))
    assert [datas(batch) for batch in found] == [["a", "b"], ["c", "d"], ["e"]]
    assert [batch.info.bytes for batch in found] == [8, 10, 25]
    assert [batch.info.trigger for batch in found] == ["bytes"] * 3


def test_by_what_a_function_says_a_message_counts_for():
    batches = Batches(Batcher(size=10, size_by=lambda message: message.data))
    found = add(batches, *map(part, [4, 4, 4, 6, 30]))
    assert [datas(batch) for batch in found] == [[4, 4], [4, 6], [30]]


@pytest.mark.parametrize("weight", [-1, float("nan"), "4", True, None])
def test_a_size_that_is_none_is_an_error_of_its_message(weight):
    batches = Batches(Batcher(size=10, size_by=lambda message: message.data))
    with pytest.raises(ConfigError, match="size_by returned"):
        batches.add(part(weight), None, 0.0)
    assert batches.waiting == 0


def test_until_a_function_says_so():
    batches = Batches(Batcher(until=lambda messages: messages[-1].data == "end"))
    found = add(batches, *map(part, ["a", "end", "b"]))
    assert [(datas(batch), batch.info.trigger) for batch in found] == [(["a", "end"], "until")]


def test_a_function_that_raises_leaves_the_batch_as_it_was():
    def until(messages):
        if messages[-1].data == "bad":
            raise KeyError
        return len(messages) == 2

    batches = Batches(Batcher(until=until))
    add(batches, part("a"))
    with pytest.raises(KeyError):
        add(batches, part("bad"))
    assert [datas(batch) for batch in add(batches, part("b"))] == [["a", "b"]]


def test_keys_have_batches_of_their_own_and_a_timer_each():
    batches = Batches(Batcher(size=2, timeout=1.0))
    add(batches, part(1, batch_key="x"), now=0.0)
    assert add(batches, part(2, batch_key="y"), now=0.5) == []
    assert batches.due() == 1.0
    [found] = add(batches, part(3, batch_key="x"), now=0.6)
    assert (datas(found), found.info.key, found.lane) == ([1, 3], "x", ("x", None))
    assert batches.due() == 1.5
    assert batches.take_due(1.4) == []
    assert [batch.info.trigger for batch in batches.take_due(1.5)] == ["timeout"]


def test_the_batchers_own_key_where_the_handler_gave_none():
    batches = Batches(Batcher(size=2, batch_key=lambda message: message.data % 2))
    found = add(batches, part(1), part(2), part(3), part(5, batch_key="own"))
    assert [(datas(batch), batch.info.key) for batch in found] == [([1, 3], 1)]


def test_a_message_that_flushes_takes_its_batch_with_it():
    batches = Batches(Batcher(size=100))
    [found] = add(batches, part(1), part(2, flush=True))
    assert (datas(found), found.info.trigger) == ([1, 2], "flush")


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2), st.booleans())),
    st.integers(1, 5),
    st.one_of(st.none(), st.integers(1, 40)),
)
def test_nothing_is_lost_and_no_batch_is_above_its_bounds(items, size, limit):
    batches = Batches(Batcher(size=size, bytes=limit))
    found = []
    for number, (nbytes, key, flush) in enumerate(items):
        found += add(batches, part(number, nbytes, batch_key=key, flush=flush))
    found += batches.take_all("end")
    assert sorted(n for batch in found for n in datas(batch)) == list(range(len(items)))
    assert batches.waiting == 0
    for batch in found:
        assert datas(batch) == sorted(datas(batch))
        assert batch.info.size == len(batch.parts) <= size
        assert limit is None or batch.info.bytes <= limit or batch.info.size == 1
        assert {each.data.batch_key for each in batch.parts} == {batch.info.key}


@given(st.integers(1, 7), st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=12))
def test_many_at_once_are_as_one_after_the_other(size, steps):
    one_by_one, together = Batches(Batcher(size=size)), Batches(Batcher(size=size))
    assert together.counts_only
    number = 0
    for at_once, count in steps:
        parts = [part(n, nbytes=n) for n in range(number, number + count)]
        number += count
        expected = add(one_by_one, *parts, now=float(number))
        found = (
            together.add_all(parts, None, float(number))
            if at_once
            else add(together, *parts, now=float(number))
        )
        assert [(datas(each), each.info) for each in found] == [(datas(each), each.info) for each in expected]
        for name in ("waiting", "begun", "oldest"):
            assert getattr(together, name) == getattr(one_by_one, name)
        assert together.due() == one_by_one.due()
