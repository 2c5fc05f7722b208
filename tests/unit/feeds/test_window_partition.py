"""Windows of one partition: each once, whatever fails, and what is open is a part of each commit."""

import json
from zlib import crc32

import pandas as pd
import pytest

from streamzarr.errors import ChecksumError, ConfigError, KeyNotFoundError, MessageError, StoreError
from streamzarr.feeds import Feed, takeover
from streamzarr.feeds.begin import look_at_all
from streamzarr.feeds.windows.check import with_held
from streamzarr.flow import Message
from streamzarr.flow.ops.settle import DONE
from tests.support.window_bench import TABLES, WHERE, Bench

CLOSED = "at is in a window that is closed: nothing came for long, or lateness was less"
TICKS = [(at + (at % 3), "ab"[at % 2], at) for at in range(0, 200, 3)]


def of_pandas(ticks, size=10, lateness=5):
    table = pd.DataFrame(ticks, columns=["at", "k", "x"])
    table["begin"] = table["at"] // size * size
    found = table.groupby(["begin", "k"])["x"].agg(["count", "sum"]).reset_index()
    found = found[found["begin"] + size <= table["at"].max() - lateness]
    return [*found.itertuples(index=False, name=None)]


def test_fixed_windows_are_those_of_pandas():
    bench = Bench()
    bench.send(*TICKS)
    bench.live()
    assert bench.rows() == of_pandas(TICKS)
    assert len(bench.rows()) > 20
    assert not bench.reasons


@pytest.mark.parametrize("lost", [False, True], ids=["put fails", "answer is lost"])
@pytest.mark.parametrize("puts", range(1, 70, 3))
def test_a_store_that_fails_and_a_process_that_goes_on(puts, lost):
    bench = Bench()
    bench.send(*TICKS)
    committer = bench.committer()
    committer.start([WHERE])
    bench.store.left, bench.store.lost = puts, lost
    at = 0
    while at < len(TICKS):
        for run in bench.runs(at, 5):
            rows = [Message(run=run, data=bench.maker(run))]
            until_it_does(lambda rows=rows: committer.store(rows))
            at = run.stop
            until_it_does(lambda at=at: committer.commit({WHERE: at}))
    assert bench.rows() == of_pandas(TICKS)
    assert len(bench.objects()) == 1


def until_it_does(work):
    try:
        work()
    except StoreError:
        work()


@pytest.mark.parametrize("lost", [False, True], ids=["put fails", "answer is lost"])
@pytest.mark.parametrize("puts", range(1, 70, 3))
def test_a_process_that_dies_at_a_put(puts, lost):
    bench = Bench()
    bench.send(*TICKS)
    bench.store.left, bench.store.lost = puts, lost
    try:
        bench.live()
    except StoreError:
        bench.live(count=4)
    assert bench.rows() == of_pandas(TICKS)
    assert len(bench.objects()) == 1
    position = bench.stream.position
    assert (position["read"], position["taken"]) == (len(TICKS), len(TICKS))


def test_the_owner_before_changes_nothing_though_it_puts_what_is_open():
    bench = Bench()
    bench.send(*TICKS)
    old = bench.live(until=20)
    [run] = bench.runs(20, 3)
    assert old.store([Message(run=run, data=bench.maker(run))]) == [DONE]
    new = bench.committer()
    assert new.start([WHERE]) == {WHERE: 20}
    old.commit({WHERE: 23})
    assert not old.owned
    assert len(bench.objects()) == 2  # that of the last commit, and one that is nobody's
    bench.live()
    assert bench.rows() == of_pandas(TICKS)
    assert len(bench.objects()) == 1


@pytest.mark.parametrize("step", ["held_at", "Kept"])
def test_who_is_stopped_while_taking_over_harms_nobody_that_takes_over_meanwhile(step, monkeypatch):
    bench = Bench()
    bench.send(*TICKS)
    bench.live(until=20)
    whole = getattr(takeover, step)

    def stopped(*told):
        monkeypatch.setattr(takeover, step, whole)
        bench.live(until=30)
        return whole(*told)

    monkeypatch.setattr(takeover, step, stopped)
    old = bench.committer()
    old.start([WHERE])
    old.commit({WHERE: 20})
    old.commit({WHERE: 21})
    assert not old.owned
    bench.live()
    assert bench.rows() == of_pandas(TICKS)
    assert bench.stream.position["taken"] == len(TICKS)


def test_late_records_and_those_of_no_time_have_letters():
    bench = Bench()
    bench.send((100, "a", 1), (104, "a", 2), (94, "a", 3), (114, "a", 4), (99, "b", 5), (100, "b", 6))
    bench.send((114 + 40 * 86_400, "a", 7), (10**10, "a", 8), (130, "a", 9))
    bench.live()
    why = "at is late by more than 5 s: its window is over"
    assert bench.reasons == [
        why,
        "at is more than 2,592,000 s ahead of all before",
        "at is not between 1824 and 2116, as times of slots and windows are",
    ]
    assert bench.rows() == [(90, "a", 1, 3), (100, "a", 2, 3), (100, "b", 1, 6), (110, "a", 1, 4)]
    assert bench.stream.position["taken"] == 6


def test_a_bound_on_open_windows_and_room_again_when_they_are_closed():
    bench = Bench(open=2)
    bench.send((0, "a", 1), (1, "b", 2), (2, "c", 3), (3, "a", 4), (30, "a", 5), (31, "c", 6))
    for count in (1, 6):
        bench.live(count=count)
    assert bench.reasons == ["there is no room for another window, 2 are open"]
    assert bench.rows() == [(0, "a", 2, 5), (0, "b", 1, 2)]


def test_a_bound_on_bytes():
    bench = Bench(max_bytes=4000)
    bench.send(*((0, f"k{number}", number) for number in range(5)))
    bench.live()
    assert len(bench.reasons) == 3
    assert bench.reasons[0].startswith("there is no room for another window, those that are open take ")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_sessions_that_a_later_record_would_join_need_room_meanwhile(count):
    bench = Bench(kind="session", size=None, gap="15s", lateness="30s", open=1)
    bench.send((0, "a", 1), (20, "a", 2), (10, "a", 4), (24, "a", 8), (90, "a", 0))
    bench.live(count=count)
    assert bench.reasons == ["there is no room for another window, 1 are open"]
    assert bench.rows() == [(0, "a", 3, 13)]


def silent(bench, seconds=61.0):
    """Take what is there, and let time pass; return who waits."""
    committer = bench.live()
    bench.runtime.advance(seconds)
    return committer


def test_a_partition_that_is_silent_closes_its_windows_and_what_comes_for_them_is_late():
    bench = Bench(idle="1min")
    bench.send((0, "a", 1), (3, "b", 2))
    committer = silent(bench, 59.0)
    committer.turn()
    assert bench.rows() == []
    bench.runtime.advance(2.0)
    committer.turn()
    assert bench.rows() == [(0, "a", 1, 1), (0, "b", 1, 2)]
    bench.send((4, "a", 3), (12, "a", 4))
    silent(bench).turn()
    assert bench.reasons == [CLOSED]
    assert bench.rows() == [(0, "a", 1, 1), (0, "b", 1, 2), (10, "a", 1, 4)]
    position = bench.stream.position
    assert (position["read"], position["taken"]) == (4, 3)


def test_it_is_no_silence_while_there_are_records_that_were_not_read():
    bench = Bench(idle="1min")
    bench.send((0, "a", 1), (3, "b", 2))
    committer = silent(bench)
    bench.send((4, "a", 3))
    committer.turn()
    assert bench.rows() == []
    assert Bench().committer().turn() is None


@pytest.mark.parametrize("lost", [False, True], ids=["put fails", "answer is lost"])
@pytest.mark.parametrize("puts", range(1, 9))
def test_a_store_that_fails_while_a_silent_partition_closes_its_windows(puts, lost):
    bench = Bench(idle="1min")
    bench.send((0, "a", 1), (3, "b", 2))
    committer = silent(bench)
    bench.store.left, bench.store.lost = puts, lost
    committer.turn()
    bench.store.left = 10**9
    bench.runtime.advance(61.0)
    committer.turn()
    assert bench.rows() == [(0, "a", 1, 1), (0, "b", 1, 2)]
    bench.live()
    assert bench.rows() == [(0, "a", 1, 1), (0, "b", 1, 2)]


def test_a_record_is_not_refused_for_a_silence_that_nobody_after_us_would_know_of():
    bench = Bench(idle="1min")
    bench.send((0, "a", 1), (3, "b", 2))
    committer = silent(bench)
    bench.store.left = 1
    committer.turn()
    bench.send((4, "a", 3))
    [run] = bench.runs(2, 1)
    bench.store.left = 1
    with pytest.raises(StoreError):
        committer.store([Message(run=run, data=bench.maker(run))])
    assert bench.reasons == []
    assert committer.store([Message(run=run, data=bench.maker(run))]) == [DONE]
    bench.live()  # another, that process has died
    assert set(bench.reasons) == {CLOSED}
    assert bench.rows() == [(0, "a", 1, 1), (0, "b", 1, 2)]


def test_a_silent_partition_that_is_not_ours_any_more_is_given_up():
    bench = Bench(idle="1min")
    bench.send((0, "a", 1), (3, "b", 2))
    committer = silent(bench)
    bench.committer().start([WHERE])
    committer.turn()
    assert not committer.owned
    assert bench.rows() == []


def test_a_message_with_several_rows_is_in_its_windows_as_a_whole_or_in_none():
    bench = Bench(key=None)
    bench.configure(columns={"at": {"dtype": "datetime64[s]", "unit": "s"}, "x": "i8"}, key=None)
    many = [{"at": 0, "x": 1}, {"at": 12, "x": 2}]
    late = [{"at": 13, "x": 4}, {"at": -50, "x": 8}]
    bench.broker.append("t", 0, *(json.dumps(each).encode() for each in (many, late, [{"at": 90, "x": 0}])))
    bench.live()
    assert bench.stream["x"][:].tolist() == [1, 2]
    assert bench.reasons == ["at is late by more than 5 s: its window is over"]
    assert (bench.stream.position["taken"], bench.stream.position["more"]) == (2, 1)


def test_zeros_of_both_signs_are_one_key():
    bench = Bench(key="k")
    bench.configure(columns={"at": {"dtype": "datetime64[s]", "unit": "s"}, "k": "f8", "x": "i8"}, key="k")
    sent = [(1, 0.0, 1), (2, -0.0, 2), (3, 1.5, 4), (90, 1.5, 0)]
    values = [json.dumps({"at": at, "k": key, "x": x}).encode() for at, key, x in sent]
    bench.broker.append("t", 0, *values)
    bench.live()
    assert bench.stream["k"][:].tolist() == ["0.0", "1.5"]
    assert bench.stream["x"][:].tolist() == [3, 4]


def test_other_windows_than_those_of_the_rows_are_refused():
    bench = Bench()
    bench.send(*TICKS)
    bench.live()
    bench.configure(size="10000ms", lateness="7s", open=5)
    bench.live()
    for window in ({"size": "11s"}, {"kind": "sliding", "every": "5s"}, {"values": {"x": "max"}}):
        bench.configure(**window)
        with pytest.raises(ConfigError, match="in the stream, and"):
            bench.live()


@pytest.mark.parametrize(("before", "now"), [(None, "k"), ("k", None)])
def test_windows_have_keys_or_none_for_good(before, now):
    bench = Bench(key=before)
    bench.send(*TICKS)
    bench.live()
    bench.configure(key=now)
    with pytest.raises(
        ConfigError, match=r"has no keys, and the configuration some|has the field 'k', which"
    ):
        bench.live()


def test_more_lateness_does_not_open_windows_again():
    bench = Bench(lateness="0s")
    bench.send((100, "a", 1))
    bench.live()
    bench.configure(lateness="60s")
    bench.send((70, "a", 1), (97, "a", 1), (101, "a", 1))
    bench.live()
    assert bench.reasons == [CLOSED] * 2


def test_windows_that_take_more_than_rows_may_are_there_again_at_a_restart():
    bench = Bench(lateness="1h")
    tables = {**TABLES, "target": {**TABLES["target"], "max_bytes": "20KB", "chunk_rows": 1}}
    bench.feed = Feed.of({**tables, "window": {**TABLES["window"], "lateness": "1h"}})
    bench.send(*((number, f"key {number}", number) for number in range(1000)))
    bench.live(until=900, count=300)
    assert len(bench.store.get(*bench.objects())) > 30_000
    bench.configure(lateness="1h", max_bytes=1)
    bench.live(count=300)
    assert len(bench.reasons) == 100


def test_a_value_that_is_new_begins_with_the_records_that_come():
    bench = Bench()
    bench.send(*TICKS)
    bench.live(until=30)
    columns = TABLES["columns"]
    y = {"dtype": "f8", "from": "x"}
    bench.configure(columns={"at": columns["at"], "y": y, "k": columns["k"], "x": "i8"})
    bench.live()
    assert bench.rows() == of_pandas(TICKS)
    later = bench.stream["y"][:]
    assert later[-1] == 189
    assert pd.isna(later[0])


def test_each_bit_of_what_is_open_is_checked():
    bench = Bench()
    bench.send(*TICKS)
    bench.live()
    [key] = bench.objects()
    whole = bench.store.get(key)
    flipped = [bytes([*whole[:at], whole[at] ^ 1 << at % 8, *whole[at + 1 :]]) for at in range(len(whole))]
    for data in (*flipped, whole[:-1], b""):
        bench.store.put(key, data)
        with pytest.raises(ChecksumError, match=f"{key}: damaged: its checksum is not that of its bytes"):
            with_held(bench.stream)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (None, KeyNotFoundError),
        (b"\xff", MessageError),
        (b"\x80", MessageError),
        (
            b"\x82\xa7version\x01\xa5panes\x91\x9b\xa1a\x92\x00\x01\xc0\x01\x01\x00\xc2\xc3\xc2\xc0\x90",
            MessageError,
        ),
    ],
    ids=["gone", "no MessagePack", "no version", "no count"],
)
def test_what_is_open_is_gone_or_something_else(data, expected):
    bench = Bench()
    bench.send(*TICKS)
    bench.live()
    [key] = bench.objects()
    bench.store.delete(key)
    if data is not None:
        bench.store.put(key, data + crc32(data).to_bytes(4, "little"))
    with pytest.raises(expected):
        with_held(bench.stream)
    with pytest.raises(expected):
        look_at_all(bench.feed, bench.broker, bench.store)
    with pytest.raises(expected):
        bench.committer().start([WHERE])
