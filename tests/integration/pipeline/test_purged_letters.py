"""Letters of brokers of both kinds that are read while somebody else purges."""

from contextlib import closing

from streamzarr.queue import DeadLetter, Record, scan
from streamzarr.queue.letters.index import LetterIndex, read_letters
from streamzarr.queue.scan import scan_kept

COUNT = 30


def test_letters_are_read_although_their_topic_is_cut_on_the_way(place, monkeypatch):
    monkeypatch.setattr(scan, "_BATCH", 4)
    dead = place.topic("dead")
    records = [Record("in", 0, n, None, b"%d" % n, (), 0) for n in range(COUNT)]
    letters = [DeadLetter.of(each, error=ValueError("no"), stage="decode") for each in records]
    with place.broker.producer() as producer:
        producer.send(dead, [letter.to_record() for letter in letters])
    end = place.broker.describe(dead).end
    with closing(LetterIndex(scan_kept(place.broker, dead, end=end))) as index:
        place.broker.trim(dead, {0: 7})  # between knowing and reading
        reading = read_letters(place.broker, dead, index, end)
        first = next(reading)[1].offset
        place.broker.trim(dead, {0: 20})  # and while they are read
        rest = [letter.offset for _, letter in reading]
    assert first == 7
    assert rest[-10:] == list(range(20, COUNT))
    assert rest == sorted(rest)
