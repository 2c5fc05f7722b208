"""Bad records of a feed: letters that the broker takes, and replays that put each in its place, once."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from streamzarr.cli.main import cli
from streamzarr.errors import MessageError
from streamzarr.feeds import check_feed, feed_status, open_grid, open_targets, read_in_place
from streamzarr.queue import DeadLetterQueue, LetterFilter, open_broker
from streamzarr.queue.deadletter import CUT_BYTES, ORIGIN_HEADER
from streamzarr.stream import StreamWriter
from tests.support.feeds import FeedBench

START = 1_767_225_600_000
GOOD = {"format": "json"}
STRICT = {"n": "i8", "bid": "f8", "symbol": "string"}
LENIENT = {**STRICT, "symbol": {"dtype": "string", "required": False}}
"""Columns after somebody has looked at the letters, and changed the feed."""


def replay(bench, *, again=False):
    """Replay all letters; with `again` also send the originals once more, as somebody might by hand."""
    queue = DeadLetterQueue(bench.broker, f"{bench.topic}.dead")
    letters = queue.ls()
    queue.replay(letters)
    if again:
        with bench.broker.producer() as producer:
            producer.send(bench.topic, [letter.again(partition=letter.partition) for _, letter in letters])
    return len(letters)


def checked(bench):
    found = check_feed(bench.target, bench.broker)
    assert all(each.ok for each in found), found
    return found


def incomplete(number):
    return json.dumps({"n": number, "bid": number / 4}).encode()


def test_a_record_of_a_log_that_is_replayed_is_where_it_was(bench):
    columns = {**STRICT, "n": {"dtype": "i8", "sorted": True}}
    bench.ticks(3)
    bench.send(incomplete(3), incomplete(4))
    bench.ticks(3, start=5)
    bench.ingest(bench.feed(columns=columns))
    assert replay(bench) == 2
    lenient = bench.feed(columns={**LENIENT, "n": columns["n"]})
    bench.ingest(lenient)
    bench.ticks(1, start=8)
    bench.ingest(lenient)
    part = bench.streams()["p00000"]
    assert part["n"][:].tolist() == [0, 1, 2, 5, 6, 7, 8]
    rows = read_in_place(part)
    assert rows["n"].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert rows["offset"].tolist()[:8] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert rows["symbol"].tolist()[2:6] == ["S2", "", "", "S2"]
    assert [*read_in_place(part, ["bid"])] == ["bid"]
    [first, _] = checked(bench)
    assert (first.records, first.replayed, first.dead) == (7, 2, 0)


def test_what_is_replayed_twice_is_there_once(bench):
    bench.ticks(2)
    bench.send(incomplete(2))
    bench.ingest()
    replay(bench, again=True)
    feed = bench.feed(columns=LENIENT)
    bench.ingest(feed)
    bench.ingest(feed)
    assert read_in_place(bench.streams()["p00000"])["n"].tolist() == [0, 1, 2]
    [letter] = bench.letters()
    assert letter.offset > 3  # behind the end of a transaction, on Kafka
    assert letter.message == "offset 2 was replayed before, as offset 3"
    [first, _] = checked(bench)
    assert (first.records, first.replayed, first.dead) == (2, 1, 1)


def test_a_letter_of_a_target_that_has_the_record_meanwhile_adds_nothing(bench):
    bench.ticks(2)
    bench.send(incomplete(2))
    bench.ingest()
    other = bench.feed(columns=LENIENT, target={"url": f"{bench.target}.anew"})
    bench.ingest(other)  # made again from the beginning, by better columns
    replay(bench)
    bench.ingest(other)
    [first, _] = check_feed(other.url, bench.broker)
    assert (first.ok, first.records, first.replayed) == (True, 3, 0)
    assert bench.letters()[-1].message == "offset 2 has its rows already"


def test_a_replay_that_fails_again_has_a_letter_again(bench):
    bench.send(b"no json")
    bench.ingest()
    replay(bench)
    bench.ingest()
    assert [letter.offset for letter in bench.letters()] == [1]
    assert bench.letters()[0].headers[0][0] == ORIGIN_HEADER
    checked(bench)


def test_a_routed_record_that_is_replayed_is_in_its_target(bench):
    route = {"by": "symbol", "targets": 1}
    bench.ticks(2)  # of S0, and of S1: no room
    bench.ingest(bench.feed(columns=STRICT, route=route))
    replay(bench, again=True)
    feed = bench.feed(columns=STRICT, route={**route, "targets": 2})
    bench.ingest(feed)
    found = open_targets(bench.target)
    assert found["S1"]["p00000"].rows == 0
    assert read_in_place(found["S1"]["p00000"])["n"].tolist() == [1]
    assert [letter.message for letter in bench.letters()] == ["offset 1 was replayed before, as offset 2"]
    [first, _] = checked(bench)
    assert (first.records, first.replayed, first.dead) == (1, 1, 1)


COLUMNS = {
    "at": {"dtype": "datetime64[ms]", "unit": "ms"},
    "symbol": "string",
    "price": {"dtype": "f8", "required": False},
    "size": "i4",
}
GRID = {"time": "at", "step": "1s", "key": "symbol", "keys": 4}


def ticks(bench, *given):
    for ms, symbol, price, size in given:
        tick = {
            "at": START + ms,
            "symbol": symbol,
            "size": size,
            **({} if price is None else {"price": price}),
        }
        bench.send(json.dumps(tick).encode())


@pytest.mark.parametrize("values", [{"price": "ohlc", "size": "sum"}, {"price": "mean"}, {"price": "count"}])
def test_a_late_record_of_a_grid_that_is_replayed_fills_its_slot(bench, values):
    feed = bench.feed(columns=COLUMNS, target={"layout": "grid"}, grid={**GRID, "values": values})
    early = [(0, "A", 10.0, 1), (500, "A", None, 2), (1200, "B", 5.0, 1), (4000, "A", 7.0, 1)]
    late = [(100, "A", 12.0, 3), (600, "B", 4.0, 1), (1100, "B", 3.0, 2), (700, "C", 1.0, 9)]
    ticks(bench, *early, *late, (8000, "A", 1.0, 1))
    bench.ingest(feed)
    assert replay(bench, again=True) == 4
    bench.ingest(feed)
    bench.ingest(feed)
    found = open_grid(bench.target)
    [first, _] = checked(bench)
    assert (first.replayed, first.dead) == (4, 4)
    assert found.keys == ("A", "B", "C")
    assert found["count"][:2].tolist() == [[3, 1, 1], [0, 2, 0]]
    match values:
        case {"price": "ohlc"}:
            assert found["price_open"][:2, :2].tolist()[0] == [10.0, 4.0]
            assert [found[f"price_{part}"][0, 0] for part in ("high", "low", "close")] == [12.0, 10.0, 12.0]
            assert found["price_low"][1, 1] == 3.0
            assert found["size"][:2].tolist() == [[6, 1, 9], [0, 3, 0]]
        case {"price": "mean"}:
            assert found["price"][0].tolist() == [11.0, 4.0, 1.0]
            assert found["price"][1, 1] == 4.0
            assert found["price_count"][:2].tolist() == [[2, 1, 1], [0, 2, 0]]
            assert found["size"][:2].tolist() == [[3, 1, 9], [0, 2, 0]]  # the last that came
        case _:
            assert found["price"][:2].tolist() == [[2, 1, 1], [0, 2, 0]]
    assert found.to_xarray()["count"].attrs == {}


def test_a_letter_of_a_grid_that_was_made_anew_adds_nothing(bench):
    strict = bench.feed(columns=COLUMNS, target={"layout": "grid"}, grid=GRID)
    ticks(bench, (0, "A", 1.0, 1), (9000, "A", 1.0, 2), (100, "A", 1.0, 4))
    bench.ingest(strict)
    patient = bench.feed(
        columns=COLUMNS,
        target={"layout": "grid", "url": f"{bench.target}.anew"},
        grid={**GRID, "lateness": "20s", "values": {"size": "sum"}},
    )
    bench.ingest(patient)
    ticks(bench, (60_000, "A", 1.0, 8))
    bench.ingest(patient)
    replay(bench)
    bench.ingest(patient)
    assert open_grid(patient.url)["size"][0].tolist() == [5]
    assert bench.letters()[-1].message == "offset 2 is in its slot already"
    [first, _] = check_feed(patient.url, bench.broker)
    assert (first.ok, first.replayed) == (True, 0)


def test_a_replay_for_which_a_grid_has_no_slot_has_a_letter_again(bench):
    feed = bench.feed(columns=COLUMNS, target={"layout": "grid"}, grid={**GRID, "keys": 1, "ahead": "1h"})
    ticks(bench, (10_000, "A", 1.0, 1), (20_000, "A", 1.0, 1))
    ticks(bench, (0, "A", 1.0, 1), (15_000, "B", 1.0, 1), (10**8, "A", 1.0, 1))
    bench.ingest(feed)
    replay(bench)
    bench.ingest(feed)
    assert [letter.message for letter in bench.letters()] == [
        "at is before the first slot",
        "there is no room for another key, 1 are there",
        "at is ahead of all others",
    ]
    checked(bench)


def test_a_letter_that_is_more_than_the_broker_takes_is_cut(request, tmp_path):
    bench = FeedBench(f"sqlite:///{tmp_path}/queue.db?max_record_bytes=20000", tmp_path)
    bench.ticks(2)
    bench.send(b"x" * 19_900, b"short")
    bench.ticks(2, start=4)
    assert bench.ingest().delivered == 6
    first, second = bench.letters()
    assert (first.offset, len(first.value), first.is_cut) == (2, CUT_BYTES, True)
    assert (second.value, second.is_cut) == (b"short", False)
    checked(bench)
    queue = DeadLetterQueue(bench.broker, f"{bench.topic}.dead")
    with pytest.raises(MessageError, match=r"can only be dropped; the whole is at feed-\w+\[0\] offset 2"):
        queue.replay(queue.ls())


@pytest.mark.kafka
def test_a_letter_that_its_topic_does_not_take_is_cut(kafka_broker_url, tmp_path):
    from confluent_kafka.admin import NewTopic

    from streamzarr.queue.kafka.clients import AdminClient

    bench = FeedBench(kafka_broker_url, tmp_path)
    admin = AdminClient({"bootstrap.servers": kafka_broker_url.removeprefix("kafka://")})
    topic = NewTopic(f"{bench.topic}.dead", 1, config={"max.message.bytes": "20000"})
    admin.create_topics([topic])[topic.topic].result(30)
    bench.send(b"\x00" + np.random.default_rng(1).bytes(100_000), b"short")
    bench.ingest()
    first, second = bench.letters()
    assert (first.offset, len(first.value), first.is_cut, second.is_cut) == (0, CUT_BYTES, True, False)
    checked(bench)


def purge(bench):
    with open_broker(bench.url) as broker:
        return DeadLetterQueue(broker, f"{bench.topic}.dead").purge()


def test_records_whose_letters_were_replayed_or_dropped_and_purged_are_not_missing(bench):
    bench.ticks(3)
    bench.send(incomplete(3), b"no json", incomplete(5))
    bench.ingest()
    queue = DeadLetterQueue(bench.broker, f"{bench.topic}.dead")
    queue.drop(queue.read(LetterFilter(offsets=range(4, 6))))
    assert replay(bench) == 1
    lenient = bench.feed(columns=LENIENT)
    bench.ingest(lenient)
    assert purge(bench) > 0
    assert queue.ls() == []
    [first, _] = checked(bench)
    assert (first.replayed, first.dead) == (1, 2)
    bench.send(b"bad", b"worse")
    bench.ingest(lenient)
    queue.drop(queue.read())
    purge(bench)
    purge(bench)
    assert checked(bench)[0].dead == 4
    status = feed_status(bench.target, bench.broker)
    assert (status.dead, status.rows, status.replayed) == (0, 3, 1)
    assert [each.replayed for each in status.partitions] == [1, 0]
    said = CliRunner().invoke(cli, ["feed", "status", bench.target, "--broker", bench.url]).stdout
    assert "rows    3 and 1 by a replay" in said
    assert "replayed" in said


def test_a_purge_hides_no_record_that_is_lost(bench):
    bench.ticks(3)
    bench.send(b"bad")
    bench.ingest()
    queue = DeadLetterQueue(bench.broker, f"{bench.topic}.dead")
    queue.drop(queue.read())
    purge(bench)
    bench.ticks(2)
    with StreamWriter(bench.target, "p00000") as writer:  # somebody who loses a record
        position = writer.position
        writer.append({name: [] for name in bench.streams()["p00000"]}, next_offset=position + 2)
    [first, _] = check_feed(bench.target, bench.broker)
    assert (first.ok, first.missing_count, first.missing) == (False, 2, (position, position + 1))


def test_a_letter_that_is_cut_off_without_a_word_is_missed(bench):
    bench.send(b"bad")
    bench.ingest()
    dead = f"{bench.topic}.dead"
    bench.broker.trim(dead, bench.broker.describe(dead).end)
    [first, _] = check_feed(bench.target, bench.broker)
    assert first.missing == (0,)
