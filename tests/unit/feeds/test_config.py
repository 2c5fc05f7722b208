"""What a feed is told, and the mistakes in it."""

from codecs import BOM_UTF8

import pytest

from streamzarr.errors import ConfigError, SourceChangedError
from streamzarr.feed_fleet import FeedFleet
from streamzarr.feeds import Feed
from streamzarr.feeds.places import check_same, source_of
from streamzarr.queue import TopicIdentity, TopicPartition

GOOD = """\
[source]
broker = "kafka://broker:9092"
topics = ["fx.ticks"]

[decode]
format = "json"

[columns]
time = { dtype = "datetime64[ns]", from = "ts", sorted = true }
bid = "f8"

[columns.ask]
dtype = "i8"
decimals = 5

[target]
url = "s3://lab/fx.zarr"
commit = { seconds = 0.5, rows = 1000, bytes = "8MB" }
"""


def load(tmp_path, text):
    path = tmp_path / "fx.toml"
    path.write_text(text)
    return Feed.load(path)


def refusal(tmp_path, text, old, new):
    """Return what is said of a file in which something has been replaced."""
    assert old in text
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, text.replace(old, new, 1))
    return str(raised.value)


def test_the_file_of_the_readme(tmp_path):
    feed = load(tmp_path, GOOD)
    assert [*feed.columns] == ["time", "bid", "ask", "offset"]
    assert (feed.columns["time"].source, feed.columns["time"].sorted, feed.columns["ask"].decimals) == (
        "ts",
        True,
        5,
    )
    assert (feed.policy.rows, feed.policy.bytes, feed.target.commit.seconds) == (1000, 8_000_000, 0.5)
    assert feed.dead_topic("fx.ticks") == "fx.ticks.dead"
    assert feed.columns["offset"].source == "@offset"


def test_a_feed_survives_the_way_to_another_process(tmp_path):
    feed = load(tmp_path, GOOD)
    again = Feed.of(feed.to_builtins())
    assert again == feed
    assert again.group == feed.group


def test_the_group_is_the_targets_own_wherever_it_runs(tmp_path, monkeypatch):
    tables = load(tmp_path, GOOD).to_builtins()
    monkeypatch.chdir(tmp_path)
    relative = Feed.of({**tables, "target": {"url": "a.zarr"}})
    assert relative.group == Feed.of({**tables, "target": {"url": f"{tmp_path}/a.zarr"}}).group
    assert relative.group != Feed.of({**tables, "target": {"url": "b.zarr"}}).group
    assert Feed.of({**tables, "source": {**tables["source"], "group": "g"}}).group == "g"


def test_a_column_of_ones_own_for_the_offsets(tmp_path):
    feed = load(tmp_path, GOOD.replace('bid = "f8"', 'record = { dtype = "i8", from = "@offset" }'))
    assert [*feed.columns] == ["time", "record", "ask"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("topics =", "topcs =", "fx.toml, line 1: source: unknown key `topcs`"),
        (
            'topics = ["fx.ticks"]',
            "topics = []",
            "fx.toml, line 3: source.topics: expected `array` of length >= 1",
        ),
        ('url = "s3://lab/fx.zarr"', "", "fx.toml, line 16: target: missing key `url`"),
        (
            "seconds = 0.5",
            'seconds = "1s"',
            "fx.toml, line 18: target.commit.seconds: expected `float`, got `str`",
        ),
        ("seconds = 0.5", "seconds = 0", "fx.toml, line 18: target.commit.seconds: expected `float` > 0.0"),
        (
            'bytes = "8MB"',
            'bytes = "8 cows"',
            "fx.toml, line 18: target.commit: '8 cows' is not a number of bytes",
        ),
        ("sorted = true", "srted = true", "fx.toml, line 9: columns.time: unknown key `srted`"),
        ('"f8"', '"float8"', "fx.toml, line 10: columns.bid: column 'bid': dtype is 'float8', expected what"),
        ('"f8"', "8", "fx.toml, line 10: columns.bid: expected `object`, got `int`"),
        (
            'from = "ts"',
            'from = "@time"',
            "fx.toml, line 9: columns.time: column 'time': from is '@time', expected",
        ),
        (
            'bid = "f8"',
            'offset = "f8"',
            "fx.toml, line 10: columns.offset: stands where the records' offsets would",
        ),
        ('format = "json"', "", "fx.toml, line 5: decode.format: expected the name of a format, got None"),
        (
            "[decode]",
            "[decoder]",
            "fx.toml, line 5: decoder: unknown table, expected source, decode, columns",
        ),
        (
            "sorted = true",
            "sorted = true, chunk_rows = 0",
            "fx.toml, line 9: columns.time.chunk_rows: expected `int` >= 1",
        ),
        ("[source]", "[source", "fx.toml: not TOML: "),
    ],
)
def test_a_mistake_is_told_with_its_key_and_line(tmp_path, old, new, expected):
    assert refusal(tmp_path, GOOD, old, new).startswith(f"{tmp_path}/{expected}")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("topics =", "topcs =", "unknown key `topcs`, expected one of broker, topics, group, start, "),
        ("sorted = true", "srted = true", "unknown key `srted`, expected one of dtype, from, sorted, "),
        ("[decode]", 'start = "earliest"\n[decode]', "'earliest', expected one of 'begin', 'end'"),
        ("[decode]", 'max_bytes = "0 MB"\n[decode]', "fx.toml, line 5: source.max_bytes: '0 MB' is none, "),
    ],
)
def test_a_mistake_is_told_with_what_is_expected(tmp_path, old, new, expected):
    assert expected in refusal(tmp_path, GOOD, old, new)


def test_chunks_that_are_too_long_are_found_before_anything_begins(tmp_path):
    told = refusal(tmp_path, GOOD, "[target]", f"[target]\nchunk_rows = {10**12}")
    assert "fx.toml, line 9: columns.time: " in told
    assert "at most" in told


def test_a_mark_and_the_ends_of_lines_of_other_editors(tmp_path):
    (tmp_path / "fx.toml").write_bytes(BOM_UTF8 + GOOD.replace("\n", "\r\n").encode())
    assert Feed.load(tmp_path / "fx.toml") == load(tmp_path, GOOD)


@pytest.mark.parametrize("name", ["a\\b", "a\0b", "a" * 256, "a/b", "..", "__a", "zarr.json"])
def test_a_name_that_no_array_can_have(name):
    tables = {
        "source": {"broker": "sqlite:///q.db", "topics": ["t"]},
        "decode": {"format": "json"},
        "columns": {name: {"dtype": "f8", "from": "x"}},
        "target": {"url": "x.zarr"},
    }
    with pytest.raises(ConfigError, match=r"feed: columns\."):
        Feed.of(tables)


WINDOWS = """\
[source]
broker = "kafka://broker:9092"
topics = ["fx.ticks"]

[decode]
format = "json"

[columns]
time = { dtype = "datetime64[ns]", from = "ts" }
symbol = "string"
bid = "f8"

[target]
url = "s3://lab/fx.zarr"
layout = "windows"

[window]
kind = "sliding"
size = "1min"
every = "10s"
time = "time"
key = "symbol"
values = { bid = "ohlc" }
"""


def test_windows_of_a_file(tmp_path):
    feed = load(tmp_path, WINDOWS)
    assert [*feed.schema()][:5] == ["begin", "end", "symbol", "count", "bid_open"]
    assert Feed.of(feed.to_builtins()) == feed
    assert feed.offset_field == ""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"sliding"', '"tumbling"', "fx.toml, line 18: window.kind: invalid enum value 'tumbling'"),
        ('size = "1min"', "", 'fx.toml, line 17: window.size: missing; it is needed where kind is "sliding"'),
        ('"1min"', '"1 fortnight"', "fx.toml, line 19: window.size: size is '1 fortnight', expected 1e-09"),
        ('every = "10s"', 'evry = "10s"', "fx.toml, line 17: window: unknown key `evry`"),
        ('"10s"', '"2min"', "fx.toml, line 20: window.every: is longer than size"),
        ('every = "10s"', 'gap = "10s"', "fx.toml, line 17: window.every: missing"),
        ('key = "symbol"', 'gap = "10s"', "fx.toml, line 22: window.gap: not expected where kind is"),
        ('"symbol"\nvalues', '"symbol"\nidle = "no"\nvalues', "fx.toml, line 23: window.idle: idle is 'no'"),
        ('"ohlc"', '"median"', "fx.toml, line 23: window.values: bid is 'median', expected"),
        (
            'bid = "ohlc"',
            'symbol = "sum"',
            "fx.toml, line 17: window: values has 'symbol', which is the time",
        ),
        (
            'symbol = "string"',
            'symbol = "bytes"',
            "fx.toml, line 17: window: key is column 'symbol', which is b",
        ),
        ('key = "symbol"', 'key = "sym"', "fx.toml, line 17: window: no column 'sym'"),
        ('symbol = "string"', 'end = "string"', "fx.toml, line 17: window: no column 'symbol'"),
        ('"windows"', '"log"', "fx.toml, line 17: window: expected if and only if target.layout is"),
        ("[window]", "[grid]", "fx.toml, line 17: grid: expected if and only if target.layout is"),
        (
            "[window]",
            '[route]\nby = "symbol"\n[window]',
            'fx.toml, line 17: route: expected only if target.layout is "log"',
        ),
    ],
)
def test_a_mistake_in_windows_is_told_with_its_key_and_line(tmp_path, old, new, expected):
    assert refusal(tmp_path, WINDOWS, old, new).startswith(f"{tmp_path}/{expected}")


@pytest.mark.parametrize(
    ("layout", "table", "expected"),
    [
        ("grid", {"time": "when"}, "grid: no column 'when'"),
        ("bars", {"time": "x"}, "grid: time is column 'x', which is no datetime64"),
        ("grid", {"values": {"x": "median"}}, "grid.values: x is 'median', expected one of last"),
        ("grid", {"key": "raw"}, "grid: key is column 'raw', which is bytes, expected texts or numbers"),
        ("bars", {"values": {"time": "last"}}, "grid: values has 'time', which is the time or the key"),
        ("log", {"by": "when"}, "route: no column 'when'"),
        ("log", {"by": "x"}, "route: column 'x' is float64, expected texts or integers"),
    ],
)
def test_a_mistake_names_its_table_once(layout, table, expected):
    name = "route" if layout == "log" else "grid"
    whole = table if layout == "log" else {"time": "time", "step": "1s", **table}
    with pytest.raises(ConfigError) as raised:
        Feed.of(
            {
                "source": {"broker": "sqlite:///q.db", "topics": ["t"]},
                "decode": {"format": "json"},
                "columns": {"time": "datetime64[ns]", "x": "f8", "raw": "bytes"},
                "target": {"url": "x.zarr", "layout": layout},
                name: whole,
            }
        )
    assert str(raised.value).startswith(f"feed: {expected}")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"no\.toml: cannot be read"):
        Feed.load(tmp_path / "no.toml")


def test_mistakes_from_python_name_the_key():
    with pytest.raises(ConfigError, match=r"feed: target.layout: invalid enum value 'cube'"):
        Feed.of(
            {
                "source": {"broker": "sqlite:///q.db", "topics": ["t"]},
                "decode": {"format": "json"},
                "columns": {"x": "f8"},
                "target": {"url": "x.zarr", "layout": "cube"},
            }
        )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('format = "json"', 'format = "jason"', "fx.toml, line 6: decode.format: .*is 'jason'"),
        ('format = "json"', 'format = "json"\nrecods = "a"', "line 7: decode.recods: .*no option 'recods'"),
        ('format = "json"', 'format = "json"\nrecords = 5', "line 7: decode.records: .*expected a text"),
        ("kafka://broker:9092", "rabbit://broker", "fx.toml, line 2: source.broker: .*rabbit"),
        ("s3://lab/fx.zarr", "s4://lab/fx.zarr", "fx.toml, line 17: target.url: .*'s4'"),
    ],
)
def test_what_is_found_when_a_fleet_is_made_is_told_with_its_place_too(tmp_path, old, new, says):
    path = tmp_path / "fx.toml"
    text = GOOD if "kafka" in old else GOOD.replace("kafka://broker:9092", f"sqlite:///{tmp_path}/q.db")
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=says):
        FeedFleet(path)


def test_rows_of_another_topic_are_told_in_words():
    now = source_of(TopicPartition("ticks", 3), TopicIdentity("c1", "t2"))
    with pytest.raises(
        SourceChangedError, match=r"come from topic 'bars', partition 3, not from topic 'ticks', p"
    ):
        check_same({**now, "topic": "bars", "topic_id": "t1"}, now, "fx.zarr/p00003", "kafka://b")
