"""Messages that are made only when somebody looks: the same messages, whoever looks, and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.flow import Demand, Stop, from_iterable, from_topic, ops, run
from streamzarr.flow.acknowledge import Claim
from streamzarr.flow.lazy import Entry, LazyMessages, together
from streamzarr.flow.message import Message
from streamzarr.queue import TopicPartition
from streamzarr.queue.columns import columns_of
from streamzarr.queue.record import Record
from streamzarr.testing.broker_fake import FakeBroker

CLAIMS = [Claim(TopicPartition("t", 0), None, Demand(10)), Claim(None, None, Demand(10))]


def lazy_and_made(counts):
    """Return lazy messages of entries of `counts`, and the messages that they should be."""
    entries, expected, seq = [], [], 1
    for index, count in enumerate(counts):
        claim = CLAIMS[index % 2]
        records = [Record("t", 0, seq + n, b"" if n % 2 else None, b"x" * n, (), 7) for n in range(count)]
        run = None if claim.partition is None else next(columns_of(records))
        sizes = list(range(count))
        entries.append(Entry(claim, seq, sizes, 5, run))
        expected += [
            Message(
                row=None if run is None else records[n],
                data=seq + n,
                nbytes=sizes[n],
                first_seen=5,
                seq=seq + n,
                claim=claim,
            )
            for n in range(count)
        ]
        seq += count
    return LazyMessages([message.data for message in expected], tuple(entries)), expected


counts = st.lists(st.integers(1, 5), min_size=1, max_size=5)


@given(counts, st.data())
def test_they_are_the_messages_they_stand_for_however_they_are_cut_and_joined(counts, data):
    lazy, expected = lazy_and_made(counts)
    looked = data.draw(st.booleans())
    if looked:
        assert list(lazy) == expected
    start = data.draw(st.integers(0, len(expected)))
    stop = data.draw(st.integers(0, len(expected)))
    cut = lazy[start:stop]
    assert (len(cut), cut.sizes) == (
        len(expected[start:stop]),
        [message.nbytes for message in expected[start:stop]],
    )
    assert list(cut) == expected[start:stop]
    rest = lazy[stop:]
    assert list(together([cut, rest, [], cut])) == [
        *expected[start:stop],
        *expected[stop:],
        *expected[start:stop],
    ]
    ours = lazy.under(lambda claim: claim is CLAIMS[0])
    assert list(ours) == [message for message in expected if message.claim is CLAIMS[0]]
    assert [lazy[n] for n in range(-len(lazy), len(lazy))] == expected * 2


@given(counts)
def test_whoever_looks_twice_sees_the_same_objects(counts):
    lazy, _ = lazy_and_made(counts)
    first = list(lazy)
    again = [*lazy[: len(lazy) // 2], *lazy[len(lazy) // 2 :]]
    assert all(one is other for one, other in zip(first, again, strict=True))
    assert all(one is other for one, other in zip(first, together([lazy[:1], lazy[1:]]), strict=True))


def test_a_slice_with_a_step_is_taken_from_the_messages():
    lazy, made = lazy_and_made([3, 2])
    assert list(lazy[::2]) == list(made)[::2]
    assert list(lazy[::-1]) == list(made)[::-1]


@pytest.fixture
def unseen(monkeypatch):
    """Nobody looks at a message."""
    monkeypatch.setattr(LazyMessages, "made", lambda self: pytest.fail("a message was made"))


def test_what_is_mapped_grouped_and_settled_as_a_whole_is_never_made(unseen):
    sums = []
    chain = from_iterable(range(100), Demand(16)).pipe(
        ops.map(lambda n: n + 1),
        ops.map_batch(lambda numbers: sums.append(sum(numbers)) or numbers),
        ops.batch(7),
        ops.decode(str),
        ops.settle(),
    )
    assert run(chain).ok == 100
    assert sum(sums) == sum(range(1, 101))


@pytest.mark.parametrize("operator", [ops.map, ops.decode])
@pytest.mark.parametrize("bad", [{0}, {3}, {9}, {2, 3, 7}, set(range(10))])
def test_each_message_is_tried_once_and_in_order_whichever_fail(operator, bad):
    tried, seen = [], []

    def double(n):
        tried.append(n)
        if n in bad:
            raise ValueError(n)
        return 2 * n

    chain = from_iterable(range(10), Demand(10)).pipe(
        ops.map(lambda n: n), operator(double), ops.settle(seen.extend)
    )
    report = run(chain)
    assert (report.ok, report.failed) == (10 - len(bad), len(bad))
    assert tried == list(range(10))
    assert [message.data for message in seen] == [n if n in bad else 2 * n for n in range(10)]
    assert {message.data for message in seen if message.failure is not None} == bad


def test_a_function_that_raises_stop_iteration_fails_its_message():
    def stop(n):
        if n == 1:
            raise StopIteration
        return n

    assert run(from_iterable(range(3), Demand(10)).pipe(ops.map(stop), ops.settle())).failed == 1


def test_a_record_has_all_its_fields_whenever_its_message_is_made():
    broker, stop, seen = FakeBroker(), Stop(), []
    broker.create_topic("t", 2)
    for n in range(6):
        broker.append("t", n % 2, b"%d" % n)

    def store(messages):
        seen.extend((message.record.partition, message.record.offset, message.data) for message in messages)
        if len(seen) == 6:
            stop.drain(1.0)

    chain = from_topic(broker, "t", group="g", demand=Demand(4), stop=stop).pipe(
        ops.map(int), ops.batch(3, timeout=0.01), ops.settle(store)
    )
    assert run(chain).ok == 6
    assert sorted(seen) == [(n % 2, n // 2, n) for n in (0, 2, 4, 1, 3, 5)]
