"""What becomes of letters: read, chosen, replayed once, dropped, purged."""

import tracemalloc
from itertools import islice

import pytest

from streamzarr.errors import ConfigError, FencedError, MessageError, QueueError, TopicNotFoundError
from streamzarr.queue import DeadLetter, DeadLetterQueue, LetterFilter, NewRecord, Record, open_broker
from streamzarr.queue.deadletter import LetterId
from streamzarr.testing.broker_fake import FakeBroker
from tests.support.clockwork import Clockwork

NOW = 1_767_225_600_000


def letter(n=0, *, error=None, stage="decode", key=None, topic="ticks", partition=0, value=None, age=0.0):
    value = b"%d" % n if value is None else value
    record = Record(topic, partition, n, key, value, (("h", b"1"),), NOW + n)
    first_seen = NOW - round(1000 * age)
    return DeadLetter.of(record, error=error or ValueError("no"), stage=stage, first_seen=first_seen)


def put(broker, *letters, topic="ticks.dead"):
    with broker.producer() as producer:
        producer.send(topic, [each.to_record() if isinstance(each, DeadLetter) else each for each in letters])


def values(broker, topic):
    with broker.reader(topic) as reader:
        return [record.value for record in iter_records(reader)]


def iter_records(reader):
    while got := reader.poll(1000, 0.0):
        yield from got


@pytest.fixture(params=["embedded", "fake"])
def broker(request, tmp_path):
    clock = Clockwork(NOW / 1000)
    broker = FakeBroker(clock)
    if request.param == "embedded":
        broker = open_broker(f"sqlite:///{tmp_path}/q.db", runtime=clock)
    broker.create_topic("ticks", 2)
    broker.create_topic("ticks.dead", 2)
    broker.create_topic("elsewhere", 1)
    with broker:
        yield broker


@pytest.fixture
def queue(broker):
    return DeadLetterQueue(broker, "ticks.dead")


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"older_than": 60}, [2, 3]),
        ({"younger_than": 60}, [0, 1]),
        ({"older_than": 60, "younger_than": 3600}, [2]),
        ({"error": "ValueError"}, [0, 2, 3]),
        ({"error": "Key*"}, [1]),
        ({"error": "key*"}, []),
        ({"stage": "st?re"}, [2]),
        ({"key": b"EURUSD"}, [3]),
        ({"topic": "fx"}, [1]),
        ({"partition": 1}, [2]),
        ({"offsets": range(1, 3)}, [1, 2]),
        ({"error": "ValueError", "offsets": range(3)}, [0, 2]),
        ({"ids": frozenset([LetterId(0, 3), LetterId(1, 0)])}, [3]),
    ],
)
def test_letters_are_chosen_by_age_reason_and_origin(broker, queue, which, expected):
    put(
        broker,
        *(
            NewRecord(r.value, r.key, r.headers, 0, r.timestamp)
            for r in (
                letter(0).to_record(),
                letter(1, error=KeyError("k"), topic="fx").to_record(),
                letter(2, stage="store", partition=1, age=60).to_record(),
                letter(3, key=b"EURUSD", age=3600).to_record(),
            )
        ),
    )
    assert [each.offset for _, each in queue.read(LetterFilter(**which))] == expected


@pytest.mark.parametrize("wrong", [{"older_than": -1}, {"younger_than": float("nan")}, {"partition": -1}])
def test_a_filter_out_of_its_range_is_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        LetterFilter(**wrong)


def test_letters_that_were_replayed_already_are_not_sent_again(broker, queue):
    put(broker, *(letter(n) for n in range(5)))
    stale = queue.ls()
    assert queue.replay(stale[:2]) == 2
    assert queue.replay(stale) == 3
    assert queue.replay(stale) == 0
    assert sorted(values(broker, "ticks")) == [b"0", b"1", b"2", b"3", b"4"]


def test_a_letter_about_a_message_that_was_replayed_is_not_sent_again(broker, queue):
    put(broker, letter(7), letter(7, error=KeyError("second try")))
    [(_, newest)] = entries = queue.ls()
    assert newest.error_class == "KeyError"
    assert queue.replay(entries) == 1
    assert (queue.ls(), queue.replay(queue.read())) == ([], 0)


def test_what_fails_again_after_a_replay_is_a_letter_of_its_own_and_keeps_its_origin(broker, queue):
    put(broker, letter(7))
    queue.replay(queue.read())
    for _ in range(2):
        with broker.reader("ticks") as reader:
            [*_, again] = iter_records(reader)
        put(broker, DeadLetter.of(again, error=ValueError("still"), stage="decode"))
        assert queue.replay(queue.read()) == 1
    with broker.reader("ticks") as reader:
        headers = {record.headers for record in iter_records(reader)}
    assert headers == {(("h", b"1"), ("streamzarr.origin", b"ticks[0]@7/%d" % (NOW + 7)))}


def test_replay_into_another_topic(broker, queue):
    put(broker, letter(1, partition=1))
    assert queue.replay(queue.read(), to="elsewhere") == 1
    assert (values(broker, "elsewhere"), values(broker, "ticks")) == ([b"1"], [])


@pytest.mark.parametrize(("to", "error"), [("ticks.dead", ConfigError), ("nowhere", TopicNotFoundError)])
def test_a_replay_into_a_topic_that_cannot_be_leaves_all_open(broker, queue, to, error):
    put(broker, letter(1))
    with pytest.raises(error, match=to):
        queue.replay(queue.read(), to=to)
    assert len(queue.ls()) == 1


@pytest.mark.parametrize("rate", [5.0, 40.0, 1000.0])
def test_a_replay_at_a_rate_takes_its_time(broker, queue, rate):
    put(broker, *(letter(n) for n in range(40)))
    started = broker.runtime.now()
    assert queue.replay(queue.read(), rate=rate) == 40
    took = broker.runtime.now() - started
    assert 40 / rate - 0.2 - 1 / rate <= took <= 40 / rate


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_has_to_be_above_zero(queue, rate):
    with pytest.raises(ConfigError, match="rate"):
        queue.replay([], rate=rate)


def test_a_newer_replay_ends_an_older_one_and_sends_what_that_had_not(broker, queue):
    put(broker, *(letter(n) for n in range(10)))
    entries = queue.ls()
    with queue.replaying() as older:
        assert older.send(entries[:4]) == 4
        assert queue.replay(entries) == 6
        with pytest.raises(FencedError):
            older.send(entries)
    assert len(values(broker, "ticks")) == 10


def test_what_is_no_letter_can_be_dropped_and_not_replayed(broker, queue):
    put(broker, NewRecord(b"what is this", partition=0))
    with pytest.raises(MessageError, match="only dropped"):
        queue.replay(queue.read())
    assert queue.drop(queue.read()) == 1
    assert queue.ls() == []


def test_purge_removes_what_lies_before_the_first_open_letter(broker, queue):
    put(broker, *(NewRecord(r.value, r.key, r.headers, 0) for r in (letter(n).to_record() for n in range(6))))
    queue.drop(queue.read(LetterFilter(offsets=range(2))))
    queue.drop(queue.read(LetterFilter(offsets=range(4, 5))))
    assert queue.purge() == 2
    assert dict(broker.describe("ticks.dead").begin) == {0: 2, 1: 0}
    assert [each.offset for _, each in queue.read()] == [2, 3, 5]
    queue.drop(queue.read())
    assert queue.purge() > 0
    assert queue.purge() >= 0
    assert queue.ls() == []


def test_a_letter_that_was_closed_with_another_stays_closed_when_that_is_purged(broker, queue):
    def in_first(*letters):
        put(broker, *(NewRecord(r.value, r.key, r.headers, 0) for r in (x.to_record() for x in letters)))

    in_first(letter(7))
    queue.replay(queue.read())
    in_first(letter(8), letter(7, error=KeyError("of a worker that was late")))
    assert queue.purge() == 2
    assert [each.offset for _, each in queue.read()] == [8]


def test_many_letters_are_read_in_bounded_memory(tmp_path):
    with open_broker(f"sqlite:///{tmp_path}/q.db") as broker:
        broker.create_topic("ticks.dead")
        for start in range(0, 2000, 100):
            put(broker, *(letter(n, value=bytes(20_000)) for n in range(start, start + 100)))
        queue = DeadLetterQueue(broker, "ticks.dead")
        tracemalloc.start()
        try:
            assert sum(1 for _ in queue.read()) == 2000
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 25 << 20, "40 MB of letters"


def test_reading_may_end_early(broker, queue):
    put(broker, *(letter(n) for n in range(10)))
    assert len(list(islice(queue.read(), 3))) == 3


@pytest.mark.parametrize("nowhere", [(0, 9), (5, 0)])
def test_a_letter_that_is_not_there(queue, nowhere):
    with pytest.raises(QueueError, match="no letter"):
        queue.get(nowhere)


def test_a_broker_that_refuses_leaves_letters_open():
    broker = FakeBroker()
    for name in ("ticks", "ticks.dead"):
        broker.create_topic(name)
    put(broker, *(letter(n) for n in range(3)))
    queue = DeadLetterQueue(broker, "ticks.dead")
    broker.fail("write", QueueError("away"))
    with pytest.raises(QueueError, match="away"):
        queue.replay(queue.read())
    assert (len(queue.ls()), values(broker, "ticks")) == (3, [])
    assert queue.replay(queue.read()) == 3
