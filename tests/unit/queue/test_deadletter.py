import pytest

from streamzarr.errors import MessageError, QueueError
from streamzarr.queue import DeadLetter, DeadLetterQueue, NewRecord, Record, dead_letter_topic, open_broker
from streamzarr.queue.deadletter import MAX_MESSAGE_BYTES, LetterId
from streamzarr.queue.letters import open_letters

ORIGINAL = Record(
    "ticks", 2, 41, b"EURUSD", b"\x00not a price", (("h", b"1"), ("h", b"2")), 1_767_225_600_123
)


ORIGIN = ("streamzarr.origin", b"ticks[2]@41/1767225600123")


def letter_for(record=ORIGINAL, error=None, **options):
    options = {"stage": "decode", "attempts": 3, "first_seen": 1_767_225_601_000, "worker": "w-1"} | options
    return DeadLetter.of(record, error=error or ValueError("no price"), **options)


def stored(letter, partition=0, offset=0, topic="ticks.dead"):
    new = letter.to_record() if isinstance(letter, DeadLetter) else letter
    return Record(topic, partition, offset, new.key, new.value, new.headers, new.timestamp or 0)


def test_a_letter_round_trips_with_the_original_unchanged():
    letter = letter_for()
    back = DeadLetter.from_record(stored(letter))
    assert back == letter
    assert back.original() == NewRecord(
        ORIGINAL.value, ORIGINAL.key, ORIGINAL.headers, timestamp=ORIGINAL.timestamp
    )
    assert (back.topic, back.partition, back.offset) == ("ticks", 2, 41)
    assert (back.error_class, back.message, back.stage) == ("ValueError", "no price", "decode")
    assert (back.attempts, back.first_seen, back.worker) == (3, 1_767_225_601_000, "w-1")


def test_reasons_are_headers_that_any_tool_can_read():
    headers = dict(letter_for().to_record().headers)
    assert headers["streamzarr.error.class"] == b"ValueError"
    assert headers["streamzarr.error.offset"] == b"41"


def test_a_letter_about_a_letter():
    inner = stored(letter_for())
    outer = letter_for(inner, stage="replay")
    back = DeadLetter.from_record(stored(outer))
    assert back.headers == inner.headers
    assert DeadLetter.from_record(inner) == letter_for()


@pytest.mark.parametrize("text", ["x" * 100_000, "ü€😀" * 10_000, "\udcff" * 10_000])
def test_long_messages_are_cut_at_a_character(text):
    letter = letter_for(error=ValueError(text))
    assert len(letter.message.encode()) <= MAX_MESSAGE_BYTES
    assert letter.message.endswith("…")
    assert DeadLetter.from_record(stored(letter)) == letter


def test_a_record_that_is_no_letter():
    with pytest.raises(MessageError, match=r"x\.dead\[1\] offset 5"):
        DeadLetter.from_record(Record("x.dead", 1, 5, None, b"", (), 0))
    headers = tuple((n, b"?" if n.endswith("offset") else v) for n, v in letter_for().to_record().headers)
    with pytest.raises(MessageError, match="cannot be read"):
        DeadLetter.from_record(Record("x.dead", 1, 5, None, b"", headers, 0))


def test_open_letters_are_those_without_a_marker():
    letters = [
        stored(letter_for(ORIGINAL._replace(offset=40 + 2 * partition + offset)), partition, offset)
        for partition in (0, 1)
        for offset in (0, 1)
    ]
    marker = Record(
        "ticks.dead", 1, 2, None, None, (("streamzarr.settled", b"0"), ("streamzarr.settled.as", b"x")), 0
    )
    assert [id_ for id_, _ in open_letters([*letters, marker])] == [(0, 0), (0, 1), (1, 1)]


def test_letters_about_one_message_are_one():
    letters = [stored(letter_for(), 0, 0), stored(letter_for(error=ValueError("again")), 0, 1)]
    [(id_, letter)] = open_letters(letters)
    assert (id_, letter.message) == ((0, 1), "again")
    for offset in (b"0", b"1"):
        marker = Record("ticks.dead", 0, 2, None, None, (("streamzarr.settled", offset), ("s.as", b"x")), 0)
        assert open_letters([*letters, marker]) == []


def test_letters_about_messages_of_a_topic_made_anew_are_two():
    other = ORIGINAL._replace(timestamp=ORIGINAL.timestamp + 1)
    assert len(open_letters([stored(letter_for(), 0, 0), stored(letter_for(other), 0, 1)])) == 2


def test_letters_about_parts_of_one_record_are_as_many_as_there_are_parts():
    parts = [ORIGINAL._replace(key=key) for key in (b"job/0", b"job/1", b"job/0")]
    records = [stored(letter_for(part), 0, offset) for offset, part in enumerate(parts)]
    assert [id_.offset for id_, _ in open_letters(records)] == [1, 2]
    marker = Record("ticks.dead", 0, 3, None, None, (("streamzarr.settled", b"0"), ("s.as", b"x")), 0)
    assert [id_.offset for id_, _ in open_letters([*records, marker])] == [1]


def test_the_topic():
    assert dead_letter_topic("a.b") == "a.b.dead"


@pytest.fixture
def broker(tmp_path):
    with open_broker(f"sqlite:///{tmp_path}/q.db") as broker:
        broker.create_topic("ticks", 4)
        broker.create_topic("ticks.dead", 2)
        yield broker


def put(broker, *letters):
    with broker.producer() as producer:
        producer.send("ticks.dead", [x.to_record() if isinstance(x, DeadLetter) else x for x in letters])


def content(broker, topic):
    records = []
    with broker.reader(topic) as reader:
        while got := reader.poll(100, 0.0):
            records += got
    return records


def test_replay_sends_the_original_to_where_it_was_and_marks_it(broker):
    put(broker, letter_for(), letter_for(ORIGINAL._replace(partition=0, value=None, key=None)))
    queue = DeadLetterQueue(broker, "ticks.dead")
    assert queue.replay(queue.ls(lambda letter: letter.value is not None)) == 1
    [record] = content(broker, "ticks")
    assert record == ORIGINAL._replace(offset=0, headers=(*ORIGINAL.headers, ORIGIN))
    [(_, left)] = queue.ls()
    assert left.value is None
    assert queue.replay(queue.ls()) == 1
    assert queue.ls() == []
    assert queue.replay([]) == 0


def test_drop(broker):
    put(broker, letter_for(), letter_for(ORIGINAL._replace(offset=42)))
    queue = DeadLetterQueue(broker, "ticks.dead")
    assert queue.drop(queue.ls()) == 2
    assert queue.ls() == []
    assert content(broker, "ticks") == []


def test_get(broker):
    put(broker, letter_for(attempts=7))
    queue = DeadLetterQueue(broker, "ticks.dead")
    [(id_, letter)] = queue.ls()
    assert queue.get(id_) == letter
    assert queue.get((id_.partition, id_.offset)).attempts == 7
    queue.drop([(id_, letter)])
    assert queue.get(id_) == letter
    for nowhere in (LetterId(id_.partition, 1), LetterId(9, 0)):  # a marker, no partition
        with pytest.raises(QueueError, match="no letter"):
            queue.get(nowhere)


def test_a_foreign_record_is_listed_and_can_only_be_dropped(broker):
    put(broker, NewRecord(b"what is this"), letter_for())
    queue = DeadLetterQueue(broker, "ticks.dead")
    foreign = queue.ls(lambda letter: letter.error_class == "MessageError")
    assert [letter.value for _, letter in foreign] == [b"what is this"]
    with pytest.raises(MessageError, match="only dropped"):
        queue.replay(foreign)
    queue.drop(foreign)
    assert [letter.error_class for _, letter in queue.ls()] == ["ValueError"]


def test_a_topic_made_again_with_fewer_partitions_still_takes_replays(broker):
    put(broker, letter_for(ORIGINAL._replace(partition=3)))
    broker.delete_topic("ticks")
    broker.create_topic("ticks", 1)
    queue = DeadLetterQueue(broker, "ticks.dead")
    queue.replay(queue.ls())
    assert [record.value for record in content(broker, "ticks")] == [ORIGINAL.value]


def test_many_letters_are_replayed_in_order(broker):
    put(broker, *(letter_for(ORIGINAL._replace(value=b"%d" % n, offset=n)) for n in range(1300)))
    queue = DeadLetterQueue(broker, "ticks.dead")
    assert queue.replay(queue.ls()) == 1300
    assert [int(record.value) for record in content(broker, "ticks")] == list(range(1300))
