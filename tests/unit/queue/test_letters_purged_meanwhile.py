"""Letters that are read while somebody else purges: those that stay are read, and nothing breaks."""

from contextlib import closing

import pytest

from streamzarr.errors import OffsetOutOfRangeError, QueueError
from streamzarr.queue import DeadLetter, DeadLetterQueue, Record, open_broker, scan
from streamzarr.queue.letters import index as letter_index
from streamzarr.queue.scan import scan_kept
from streamzarr.testing.broker_fake import FakeBroker

COUNT = 30
DEAD = "ticks.dead"


@pytest.fixture(params=["embedded", "fake"])
def broker(request, tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "_BATCH", 4)  # records in memory
    made = FakeBroker() if request.param == "fake" else open_broker(f"sqlite:///{tmp_path}/q.db")
    with made as broker:
        for topic in ("ticks", DEAD):
            broker.create_topic(topic, 1)
        with broker.producer() as producer:
            producer.send(DEAD, [letter(n).to_record() for n in range(COUNT)])
        yield broker


def letter(n):
    record = Record("ticks", 0, n, None, b"%d" % n, (), 0)
    return DeadLetter.of(record, error=ValueError("no"), stage="decode")


def purge(broker, count):
    """Do as another process that gives up the first letters."""
    queue = DeadLetterQueue(broker, DEAD)
    queue.drop([entry for entry in queue.ls() if entry[1].offset < count])
    queue.purge()
    assert broker.describe(DEAD).begin[0] >= count


def test_letters_are_read_on_while_others_purge(broker):
    reading = DeadLetterQueue(broker, DEAD).read()
    first = [next(reading)[1].offset for _ in range(2)]
    purge(broker, 20)
    rest = [each.offset for _, each in reading]
    assert first == [0, 1]
    assert rest[-10:] == list(range(20, COUNT))
    assert rest == sorted(rest)


def test_letters_that_were_all_purged_are_no_error(broker):
    reading = DeadLetterQueue(broker, DEAD).read()
    next(reading)
    purge(broker, COUNT)
    rest = [each.offset for _, each in reading]  # what was in memory
    assert rest == sorted(set(rest))


def test_a_purge_between_knowing_and_reading(broker):
    end = broker.describe(DEAD).end
    with closing(letter_index.LetterIndex(scan_kept(broker, DEAD))) as index:
        purge(broker, 7)
        found = [each.offset for _, each in letter_index.read_letters(broker, DEAD, index, end)]
    assert found == list(range(7, COUNT))


def test_what_is_open_is_known_although_the_topic_is_cut_meanwhile(broker):
    records = scan_kept(broker, DEAD)
    first = next(records)
    broker.trim(DEAD, {0: 20})
    seen = [first.offset, *(record.offset for record in records)]
    assert seen[-10:] == list(range(20, COUNT))


def test_a_replay_goes_on_while_others_purge(broker):
    queue = DeadLetterQueue(broker, DEAD)
    with queue.replaying() as replay:
        purge(broker, 20)
        assert replay.send(queue.read()) == COUNT - 20


def test_one_letter_that_is_purged_while_it_is_fetched_is_not_there(broker, monkeypatch):
    queue = DeadLetterQueue(broker, DEAD)
    reader = broker.reader

    def late(topic, start):
        opened = reader(topic, start)
        broker.trim(DEAD, {0: 20})
        return opened

    monkeypatch.setattr(broker, "reader", late)
    with pytest.raises(QueueError, match="has no letter at offset 3"):
        queue.get((0, 3))


def test_a_position_beyond_the_end_is_still_an_error(broker):
    with pytest.raises(OffsetOutOfRangeError):
        list(scan_kept(broker, DEAD, {0: COUNT + 1}))
