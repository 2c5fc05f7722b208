"""What a purge tells of letters of feeds that are gone."""

import pytest

from streamzarr.errors import QueueError
from streamzarr.queue import DeadLetter, DeadLetterQueue, LetterFilter, NewRecord, Record, open_broker
from streamzarr.queue.letters import PurgeNotice, purged
from streamzarr.queue.scan import scan
from streamzarr.testing import FakeBroker

DEAD = "ticks.dead"


@pytest.fixture(params=["embedded", "fake"])
def broker(request, tmp_path):
    made = FakeBroker() if request.param == "fake" else open_broker(f"sqlite:///{tmp_path}/q.db")
    with made as broker:
        broker.create_topic("ticks", 2)
        broker.create_topic(DEAD, 2)
        yield broker


@pytest.fixture
def queue(broker):
    return DeadLetterQueue(broker, DEAD)


def put(broker, *offsets, feed="a", source=0, partition=0):
    letters = [
        DeadLetter.of(
            Record("ticks", source, n, None, b"%d" % n, (), 0), error=ValueError(), stage="s", feed=feed
        ).to_record()
        for n in offsets
    ]
    with broker.producer() as producer:
        producer.send(DEAD, [NewRecord(r.value, r.key, r.headers, partition, 0) for r in letters])


def told(broker):
    """Return whose letters are gone, by all notices together, and how many notices there are."""
    found, count = {}, 0
    for record in scan(broker, DEAD):
        if (notice := PurgeNotice.of(record)) is not None:
            count += 1
            found.setdefault(notice.whose, set()).update(n for each in notice.offsets for n in each)
    return {whose: sorted(numbers) for whose, numbers in found.items()}, count


def test_a_purge_tells_which_letters_of_feeds_are_gone(broker, queue):
    put(broker, 1, 2, 3, 9)
    put(broker, 5, source=1)
    put(broker, 2, feed="b")
    put(broker, 7, feed="")
    put(broker, 8, partition=1)
    queue.replay(queue.read(LetterFilter(partition=1)))
    queue.drop(queue.read())
    assert queue.purge() > 0
    assert told(broker) == (
        {("a", "ticks", 0): [1, 2, 3, 8, 9], ("a", "ticks", 1): [5], ("b", "ticks", 0): [2]},
        4,
    )
    assert queue.ls() == []
    for partition in (0, 1):
        with pytest.raises(QueueError, match="no letter"):
            queue.get((partition, broker.describe(DEAD).end[partition] - 1))


def test_what_was_told_is_told_again_by_later_purges_and_not_without_need(broker, queue):
    for n in range(4):
        put(broker, 2 * n, 2 * n + 1)
        queue.drop(queue.read())
        assert queue.purge() == (4 if n == 0 else 5)
        assert told(broker) == ({("a", "ticks", 0): list(range(2 * n + 2))}, 1)
        assert queue.purge() == 0
    put(broker, 20, 21)
    queue.drop(queue.read(LetterFilter(offsets=range(20, 21))))
    assert queue.purge() == 2
    assert told(broker)[0] == {("a", "ticks", 0): [*range(8), 20]}
    assert [each.offset for _, each in queue.read()] == [21]


def test_a_purge_that_is_killed_before_its_cut_loses_nothing(broker, queue, monkeypatch):
    put(broker, 1, 2)
    queue.drop(queue.read())

    def die(*_):
        raise QueueError("away")

    with monkeypatch.context() as patch:
        patch.setattr(broker, "trim", die)
        with pytest.raises(QueueError):
            queue.purge()
    assert told(broker) == ({("a", "ticks", 0): [1, 2]}, 1)
    assert queue.purge() == 4
    assert told(broker)[0] == {("a", "ticks", 0): [1, 2]}


def test_many_letters_apart_are_told_in_notices_of_a_bounded_size(broker, queue, monkeypatch):
    monkeypatch.setattr(purged, "RANGES", 10)
    put(broker, *range(0, 100, 2))
    queue.drop(queue.read())
    queue.purge()
    assert told(broker) == ({("a", "ticks", 0): list(range(0, 100, 2))}, 5)


@pytest.mark.parametrize("value", [None, b"", b"x", b"3-1", b"-4", b"1,,2", b"9" * 30, b"\xff"])
def test_a_notice_that_cannot_be_read_is_none(value):
    headers = tuple((f"streamzarr.purged.{name}", b"0") for name in ("feed", "topic", "partition"))
    assert PurgeNotice.of(Record(DEAD, 0, 5, None, value, headers, 0)) is None
