"""Letters that somebody else has written, or damaged, and replays that meet what cannot be sent."""

import math
import os
import tracemalloc

import pytest

from streamzarr.errors import ConfigError, MessageError, TopicNotFoundError
from streamzarr.queue import DeadLetter, DeadLetterQueue, LetterFilter, NewRecord, Record, open_broker
from streamzarr.testing import FakeBroker
from tests.support.clockwork import Clockwork

NOW = 1_767_225_600_000
FIELDS = ("class", "message", "stage", "attempts", "first_seen", "worker", "topic", "partition", "offset")


def letter(n=0, topic="ticks", value=b"v"):
    record = Record(topic, 0, n, None, value, (), NOW)
    return DeadLetter.of(record, error=ValueError("no"), stage="decode", first_seen=NOW).to_record()


def forged(**given):
    plain = ("E", "m", "s", "1", "0", "w", "ticks", "0", "7")
    values = dict(zip(FIELDS, plain, strict=True)) | given
    return NewRecord(b"v", headers=tuple((f"streamzarr.error.{n}", v.encode()) for n, v in values.items()))


@pytest.fixture(params=["embedded", "fake"])
def broker(request, tmp_path):
    clock = Clockwork(NOW / 1000)
    broker = FakeBroker(clock)
    if request.param == "embedded":
        broker = open_broker(f"sqlite:///{tmp_path}/q.db", runtime=clock)
    for topic in ("ticks", "ticks.dead"):
        broker.create_topic(topic)
    with broker:
        yield broker


@pytest.fixture
def queue(broker):
    return DeadLetterQueue(broker, "ticks.dead")


def put(broker, *records):
    with broker.producer() as producer:
        producer.send("ticks.dead", records)


def sent(broker):
    return broker.describe("ticks").end[0]


@pytest.mark.parametrize(
    "given",
    [
        {"first_seen": "9" * 400},
        {"first_seen": "-" + "9" * 30},
        {"attempts": "9" * 400},
        {"attempts": "\u0663"},
        {"partition": "-5"},
        {"partition": "9" * 30},
        {"offset": "-3"},
        {"offset": "1_0"},
    ],
)
def test_a_letter_with_an_impossible_number_is_none_and_harms_no_other(broker, queue, given):
    put(broker, forged(**given), letter(1))
    assert [each.error_class for _, each in queue.ls()] == ["MessageError", "ValueError"]
    assert len(list(queue.read(LetterFilter(older_than=0)))) == 2
    assert queue.replay(queue.read(LetterFilter(error="ValueError"))) == 1


def test_a_marker_closes_no_letter_that_is_still_to_come(broker, queue):
    marker = (("streamzarr.settled", b"1"), ("streamzarr.settled.as", b"replayed"))
    put(broker, NewRecord(None, headers=marker), letter(1))
    assert [id_.offset for id_, each in queue.ls() if each.error_class == "ValueError"] == [1]


def test_a_letter_that_is_given_twice_is_sent_once(broker, queue):
    put(broker, letter(1), letter(2))
    letters = queue.ls()
    with queue.replaying() as replay:
        assert replay.send([*letters, *letters]) == 2
        assert replay.send(letters) == 0
    assert sent(broker) == 2


@pytest.mark.parametrize(
    ("bad", "error"),
    [(NewRecord(b"no letter"), MessageError), (letter(topic="gone"), TopicNotFoundError)],
)
def test_those_before_one_that_cannot_be_sent_are_sent(broker, queue, bad, error):
    put(broker, letter(1), letter(2), bad, letter(3))
    with pytest.raises(error):
        queue.replay(queue.read())
    assert sent(broker) == 2
    assert len(queue.ls()) == 2
    assert queue.replay(queue.read(LetterFilter(topic="ticks"))) == 1


def test_those_before_one_that_is_too_big_for_where_it_goes_are_sent(tmp_path):
    with open_broker(f"sqlite:///{tmp_path}/q.db") as broker:
        for topic in ("ticks", "ticks.dead"):
            broker.create_topic(topic)
        put(broker, letter(1), letter(2, value=b"x" * 5000), letter(3))
    with open_broker(f"sqlite:///{tmp_path}/q.db?max_record_bytes=2000") as broker:
        queue = DeadLetterQueue(broker, "ticks.dead")
        with pytest.raises(MessageError):
            queue.replay(queue.read())
        assert sent(broker) == 1
        assert [id_.offset for id_, _ in queue.ls()] == [1, 2]


def test_a_replay_holds_a_few_letters_however_big_they_are(tmp_path):
    big = 1 << 20
    with open_broker(f"sqlite:///{tmp_path}/q.db") as broker:
        for topic in ("ticks", "ticks.dead"):
            broker.create_topic(topic)
        for n in range(60):
            put(broker, letter(n, value=os.urandom(big)))
        queue = DeadLetterQueue(broker, "ticks.dead")
        tracemalloc.start()
        try:
            assert queue.replay(queue.read()) == 60
            assert tracemalloc.get_traced_memory()[1] < 40 * big
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("rate", [0, -1, math.inf, math.nan, True, "5"])
def test_a_rate_that_is_none_is_told(queue, rate):
    with pytest.raises(ConfigError, match="expected messages a second, a number more than 0"):
        queue.replay([], rate=rate)


@pytest.mark.parametrize(
    "given",
    [
        {"key": "EURUSD"},
        {"topic": b"ticks"},
        {"offsets": (4, 9)},
        {"error": ValueError},
        {"stage": 5},
        {"partition": "0"},
        {"partition": True},
        {"older_than": "1h"},
    ],
)
def test_a_filter_that_could_match_nothing_is_told(given):
    [name] = given
    with pytest.raises(ConfigError, match=f"LetterFilter\\({name}=.*: expected "):
        LetterFilter(**given)


def test_a_letter_says_which_feed_it_is_of_and_a_letter_about_it_keeps_that():
    record = Record("ticks", 3, 41, b"k", b"x", (("streamzarr.error.feed", b"a"), ("own", b"1")), 0)
    for feed in ("", "0a1b"):
        letter = DeadLetter.of(record, error=ValueError("bad"), stage="decode", feed=feed)
        sent = letter.to_record()
        lies = Record("ticks.dead", 0, 5, sent.key, sent.value, sent.headers, 0)
        assert DeadLetter.from_record(lies) == letter
        about = DeadLetter.of(lies, error=ValueError("again"), stage="replay").to_record()
        read = DeadLetter.from_record(Record("d", 0, 0, about.key, about.value, about.headers, 0))
        assert (read.feed, read.headers, read.topic) == ("", sent.headers, "ticks.dead")


def test_the_name_of_a_feed_alone_is_no_letter():
    with pytest.raises(MessageError, match="not a dead letter"):
        DeadLetter.from_record(Record("d", 0, 0, None, b"x", (("streamzarr.error.feed", b"a"),), 0))


def test_a_topic_of_messages_is_purged_only_where_that_is_said(broker, queue):
    put(broker, NewRecord(b"alive"), letter(1))
    with pytest.raises(
        ConfigError, match=r"topic 'ticks.dead' has 1 record that is no .* offset 0; say that"
    ):
        queue.purge()
    with pytest.raises(ConfigError, match="any_record=True"):
        next(queue.read(any_record=False))
    assert queue.drop(queue.read()) == 2
    assert broker.describe("ticks.dead").begin == {0: 0}
    assert queue.purge(any_record=True) == 4
