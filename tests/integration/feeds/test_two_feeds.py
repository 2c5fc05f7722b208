"""Two feeds that read one topic, and share the topic of its dead letters."""

import json

import pytest

import streamzarr as sz
from streamzarr.feeds import check_feed, feed_status
from streamzarr.queue import DeadLetter, Record
from streamzarr.queue.scan import scan
from tests.support.feeds import FeedBench

START = 1_767_225_600_000
COLUMNS = {"at": {"dtype": "datetime64[ms]", "unit": "ms"}, "price": "f8"}
GRID = {"time": "at", "step": "1s"}


@pytest.fixture
def bench(tmp_path):
    return FeedBench(f"sqlite:///{tmp_path}/queue.db", tmp_path, partitions=1)


def strict(bench):
    """Return a feed to which each record of the topic is a bad one."""
    columns = {**COLUMNS, "size": "i4"}
    return bench.feed(columns=columns, target={"url": f"{bench.target}.strict"})


def send(bench, *seconds):
    bench.send(*(json.dumps({"at": START + 1000 * at, "price": 1.0}).encode() for at in seconds))


def skip(bench, offset):
    """Have the target pass a record that it has no row of."""
    with sz.StreamWriter(bench.target, "p00000", source=bench.streams()["p00000"].record.source) as writer:
        writer.append({name: [] for name in writer.fields}, next_offset=offset + 1)


@pytest.mark.parametrize("layout", ["log", "grid", "bars"])
def test_letters_of_another_feed_are_none_of_ours(bench, layout):
    tables = {} if layout == "log" else {"grid": GRID}
    send(bench, *range(10))
    bench.ingest(strict(bench))
    bench.ingest(bench.feed(columns=COLUMNS, target={"layout": layout}, **tables))
    [ours] = check_feed(bench.target, bench.broker)
    [theirs] = check_feed(strict(bench).url, bench.broker)
    assert (ours.ok, ours.dead, theirs.ok, theirs.dead) == (True, 0, True, 10)


def test_a_letter_of_another_feed_hides_no_row_that_is_missing(bench):
    feed = bench.feed(columns=COLUMNS)
    send(bench, 0, 1)
    bench.ingest(feed)
    send(bench, 2)
    skip(bench, 2)
    bench.ingest(strict(bench))
    [ours] = check_feed(bench.target, bench.broker)
    assert ours.missing == (2,)


def test_a_letter_that_is_not_signed_counts_for_every_feed(bench):
    send(bench, 0, 1)
    bench.ingest(bench.feed(columns=COLUMNS))
    send(bench, 2)
    skip(bench, 2)
    record = Record(bench.topic, 0, 2, None, b"x", (), START)
    letter = DeadLetter.of(record, error=ValueError("bad"), stage="decode")
    with bench.broker.producer() as producer:
        producer.send(f"{bench.topic}.dead", [letter.to_record()])
    [ours] = check_feed(bench.target, bench.broker)
    assert (ours.ok, ours.dead) == (True, 1)
    assert feed_status(bench.target, bench.broker).dead == 1


def test_the_status_counts_records_that_failed_here_whosever_letter_is_the_newer(bench):
    feed = bench.feed(columns=COLUMNS)
    send(bench, 0, 1)
    bench.send(b"no json")  # bad for both
    bench.ingest(feed)
    bench.ingest(strict(bench))
    assert feed_status(bench.target, bench.broker).dead == 1
    assert feed_status(strict(bench).url, bench.broker).dead == 3


def test_each_target_signs_its_letters_with_a_name_of_its_own(bench):
    bench.send(b"bad")
    bench.ingest()
    bench.ingest(bench.feed(target={"url": f"{bench.target}.anew"}))
    first, second = (DeadLetter.from_record(each).feed for each in scan(bench.broker, f"{bench.topic}.dead"))
    assert first
    assert second
    assert first != second
