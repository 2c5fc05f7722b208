"""A feed with several targets, on each broker: each record in the target that it names, exactly once."""

import json

import pytest
from click.testing import CliRunner

from streamzarr.cli.main import cli
from streamzarr.errors import ConfigError
from streamzarr.feeds import check_feed, feed_status, open_targets
from streamzarr.feeds.follow import follow_feed
from streamzarr.feeds.target import find_parts
from streamzarr.stream import open_streams


def routed(bench, **changes):
    return bench.feed(route={"by": "symbol", **changes.pop("route", {})}, **changes)


def checked(bench):
    found = check_feed(bench.target, bench.broker)
    assert all(each.ok for each in found), found
    return found


def test_each_record_is_in_the_target_that_it_names(bench):
    bench.ticks(300)
    bench.ticks(200, start=300, partition=1)
    bench.send(b"no json", partition=1)
    assert bench.ingest(routed(bench)).delivered == 501
    found = open_targets(bench.target)
    assert sorted(found) == ["S0", "S1", "S2"]
    for name, parts in found.items():
        assert [*parts] == ["p00000", "p00001"]
        numbers = [number for part in parts.values() for number in part["n"][:].tolist()]
        assert numbers == [number for number in range(500) if f"S{number % 3}" == name]
    assert [*open_streams(f"{bench.target}/by/S1")] == ["p00000", "p00001"]
    assert [(each.rows, each.records, each.dead) for each in checked(bench)] == [(300, 300, 0), (200, 200, 1)]


def test_it_goes_on_where_it_was_and_takes_new_targets(bench):
    bench.ticks(60)
    bench.ingest(routed(bench))
    bench.ticks(60, start=60)
    bench.send(b'{"n": 120, "bid": 1, "symbol": "A/B"}')
    assert bench.ingest(routed(bench)).delivered == 61
    found = open_targets(bench.target)
    assert {name: sum(part.rows for part in parts.values()) for name, parts in found.items()} == {
        "A/B": 1,
        "S0": 40,
        "S1": 40,
        "S2": 40,
    }
    checked(bench)


def test_several_topics(bench):
    other = f"{bench.topic}.b"
    bench.broker.create_topic(other, 1)
    bench.ticks(9)
    bench.send(*[b'{"n": 7, "bid": 1, "symbol": "S1"}'] * 5, topic=other)
    bench.ingest(routed(bench, source={"topics": [bench.topic, other]}))
    found = open_targets(bench.target)
    assert {part: each.rows for part, each in found["S1"].items()} == {
        f"{bench.topic}/p00000": 3,
        f"{other}/p00000": 5,
    }
    assert sorted(found) == ["S0", "S1", "S2"]
    checked(bench)


def test_more_keys_than_there_is_room_for_have_letters(bench):
    bench.send(*(b'{"n": %d, "bid": 1, "symbol": "K%d"}' % (number, number) for number in range(3000)))
    bench.ingest(routed(bench, route={"targets": 5}))
    assert len(open_targets(bench.target)) == 5
    [first, _] = checked(bench)
    assert (first.records, first.dead) == (5, 2995)
    assert bench.letters()[0].message == "there is no room for a target K5, 5 are there"
    assert bench.letters()[0].stage == "route"


def test_more_keys_than_there_is_room_for_have_a_target(bench):
    bench.send(*(b'{"n": %d, "bid": 1, "symbol": "K%d"}' % (number, number) for number in range(300)))
    bench.ingest(routed(bench, route={"targets": 5, "other": "rest"}))
    found = open_targets(bench.target)
    assert (len(found), found["rest"]["p00000"].rows) == (6, 295)
    checked(bench)


def test_what_is_said_of_it(bench):
    bench.ticks(30)
    bench.ticks(12, start=30, partition=1)
    bench.ingest(routed(bench))
    status = feed_status(bench.target, bench.broker)
    assert (status.rows, status.lag) == (42, 0)
    assert [(each.name, each.rows) for each in status.partitions] == [("p00000", 30), ("p00001", 12)]
    assert [(each.name, each.partitions, each.rows) for each in status.targets] == [
        ("S0", 2, 14),
        ("S1", 2, 14),
        ("S2", 2, 14),
    ]
    told = CliRunner().invoke(cli, ["feed", "status", "--json", bench.target, "--broker", bench.url])
    assert [each["name"] for each in json.loads(told.stdout)["targets"]] == ["S0", "S1", "S2"]
    told = CliRunner().invoke(cli, ["feed", "status", bench.target, "--broker", bench.url])
    assert "S2" in told.stdout
    told = CliRunner().invoke(cli, ["feed", "check", bench.target, "--broker", bench.url])
    assert "each of 42 records is there exactly once" in told.stdout
    with pytest.raises(ConfigError, match="'S1' of a feed that has several; give the URL of the feed"):
        feed_status(f"{bench.target}/by/S1", bench.broker)


def test_rows_are_followed_as_they_come_to_whichever_target(bench):
    bench.ticks(3)
    bench.ingest(routed(bench))
    rows = follow_feed(lambda: find_parts(bench.target), last=1, look=0)
    assert {next(rows)[0] for _ in range(3)} == {"S0/p00000", "S1/p00000", "S2/p00000"}
    bench.send(b'{"n": 3, "bid": 1, "symbol": "new"}')
    bench.ingest(routed(bench))
    name, found = next(rows)
    assert (name, found["n"][:].tolist()) == ("new/p00000", [3])


def test_a_row_in_a_target_that_is_not_its_own_is_found(bench):
    bench.ticks(9)
    bench.ingest(routed(bench))
    from streamzarr.stream import StreamWriter

    stream = open_targets(bench.target)["S1"]["p00000"]
    wrong = {name: stream[name][-1:] for name in stream} | {"symbol": ["S2"], "offset": [8]}
    with StreamWriter(bench.target, "by/S1/p00000") as writer:
        writer.append(wrong, next_offset=stream.position)
    [first, _] = check_feed(bench.target, bench.broker)
    assert (first.ok, first.disorder) == (False, (8,))


def test_a_feed_is_not_routed_where_it_was_not(bench):
    bench.ticks(1)
    bench.ingest()
    with pytest.raises(ConfigError, match="routed nowhere, and the feed says by 'symbol'"):
        bench.stops(routed(bench))
    with pytest.raises(ConfigError, match="all of its rows are in one target"):
        open_targets(bench.target)
