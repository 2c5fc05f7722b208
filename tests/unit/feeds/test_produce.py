"""``streamzarr produce``: files row by row, generators by their seeds, and the pace of both."""

import gzip
import itertools
import json

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from streamzarr.cli.main import cli
from streamzarr.errors import ConfigError, QueueError
from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.produce import KINDS, Piece, generate, produce, read_file
from streamzarr.feeds.produce.moments import Moments
from streamzarr.queue.open import open_broker
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock
from tests.support.decoding import specs

START = 1_767_605_400_000_000_000
CSV = "time,bid,symbol,note\n2026-01-05T09:30:00Z,1.121200,EUR,007\n2026-01-05T09:30:02Z,,USD,naïve\n"


def records_of(kind, count, **options):
    pieces = generate(kind, **{"rate": 100.0, "start": START} | options)
    flat = (
        (value, key, time)
        for piece in pieces
        for value, key, time in zip(piece.values, piece.keys, piece.times, strict=True)
    )
    return [(json.loads(value), key.decode(), time) for value, key, time in itertools.islice(flat, count)]


def read(path, **options):
    return [value for piece in read_file(path, **options) for value in piece.values]


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_numbers_of_csv_keep_their_digits(tmp_path, suffix):
    path = tmp_path / f"ticks{suffix}"
    path.write_bytes(gzip.compress(CSV.encode()) if suffix.endswith("gz") else CSV.encode())
    assert read(path) == [
        b'{"time":"2026-01-05T09:30:00Z","bid":1.121200,"symbol":"EUR","note":"007"}',
        '{"time":"2026-01-05T09:30:02Z","bid":null,"symbol":"USD","note":"naïve"}'.encode(),
    ]
    assert read(path, format="csv")[1] == "2026-01-05T09:30:02Z,,USD,naïve".encode()
    assert msgspec.msgpack.decode(read(path, format="msgpack")[0])["bid"] == 1.1212


def test_json_lines_are_sent_as_they_are(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"n": 9007199254740993, "p": 1.10}\n\n{"n": 2}\n')
    assert read(tmp_path / "a.jsonl") == [b'{"n": 9007199254740993, "p": 1.10}', b'{"n": 2}']


def test_times_of_parquet_keep_their_nanoseconds(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    times = pa.array([START + 123456789], pa.timestamp("ns", "UTC"))
    pq.write_table(pa.table({"t": times, "p": [1.5], "n": pa.array([None], "i8")}), tmp_path / "a.parquet")
    values = read(tmp_path / "a.parquet", moments=Moments("t"))
    decoded = open_decoder("json", specs(t="M8[ns]", p="f8"))(values)
    assert decoded.columns["t"].view("i8").tolist() == [START + 123456789]


def test_keys_and_times_are_columns(tmp_path):
    (tmp_path / "a.csv").write_text(CSV)
    [piece] = read_file(tmp_path / "a.csv", key="symbol", moments=Moments("time"))
    assert piece.keys == [b"EUR", b"USD"]
    assert piece.times == [START, START + 2 * 10**9]


@pytest.mark.parametrize(
    ("name", "content", "options", "says"),
    [
        ("a.xls", "", {}, "expected .csv"),
        ("a.csv", "a,b\n1\n", {}, "record 0: got 1 fields, expected 2: a, b"),
        ("a.csv", 'a,b\n"1,2\n', {}, "line 2: unexpected end of data"),
        ("a.csv", "a,b\n1,2\n", {"key": "c"}, "no column 'c', but a, b"),
        (
            "a.csv",
            "a,b\n1,x\n",
            {"moments": Moments("b")},
            "record 0: column 'time' (b): got the text 'x', expected a time",
        ),
        ("a.jsonl", "{\n", {}, "line 1: "),
        ("a.jsonl", "{}\n[]\n", {}, "line 2: expected an object"),
    ],
)
def test_what_a_file_lacks_is_said(tmp_path, name, content, options, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / name, **options)
    assert says in str(caught.value)


# ---------------------------------------------------------------- generators


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_records(kind):
    assert records_of(kind, 1500, seed=7) == records_of(kind, 1500, seed=7)
    assert records_of(kind, 100, seed=7) != records_of(kind, 100, seed=8)


@pytest.mark.parametrize("kind", KINDS)
def test_records_come_at_their_rate_in_order(kind):
    times = [time for _, _, time in records_of(kind, 20_000 if kind == "ticks" else 3000)]
    assert times == sorted(times)
    rate = len(times) / (times[-1] - START) * 1e9
    assert 80 < rate < 125


def test_ticks_are_quotes():
    records = records_of("ticks", 5000, ids=3)
    assert (
        {key for _, key, _ in records}
        == {record["symbol"] for record, _, _ in records}
        == {"EURUSD", "GBPUSD", "USDJPY"}
    )
    assert all(record["bid"] < record["ask"] for record, _, _ in records)
    assert [record["seq"] for record, _, _ in records] == list(range(5000))
    bids = np.array([record["bid"] for record, key, _ in records if key == "EURUSD"])
    assert 0.9 < bids.min() < bids.max() < 1.3
    decoded = open_decoder("json", specs(ts="M8[ns]"))([msgspec.json.encode(records[0][0])])
    assert decoded.columns["ts"].view("i8").tolist() == [records[0][2]]


def test_updates_make_the_book_that_the_next_snapshot_has():
    books, snapshots = {}, 0
    for record, key, _ in records_of("book", 4200, ids=2):
        levels = {(side, price): quantity for side in ("bids", "asks") for price, quantity in record[side]}
        if record["type"] == "snapshot":
            snapshots += 1
            if key in books:
                assert books[key]["levels"] == levels
            books[key] = {"levels": levels, "last": record["last"]}
            continue
        assert record["first"] == books[key]["last"] + 1
        books[key]["last"] = record["last"]
        for level, quantity in levels.items():
            if quantity == "0.000":
                del books[key]["levels"][level]
            else:
                books[key]["levels"][level] = quantity
        bids = [float(price) for side, price in books[key]["levels"] if side == "bids"]
        asks = [float(price) for side, price in books[key]["levels"] if side == "asks"]
        assert max(bids) < min(asks)
        assert len(bids) == len(asks) == 10
    assert snapshots >= 4


def test_sensors_have_days_gaps_and_missing_values():
    records = records_of("sensors", 6000, ids=3, rate=0.02)  # a day is 1728 records
    warm = np.array([record["temperature"] or np.nan for record, key, _ in records if key == "station-000"])
    assert 0 < np.isnan(warm).mean() < 0.05
    assert 8 < np.nanmax(warm) - np.nanmin(warm) < 30
    times = np.array([time for _, key, time in records if key == "station-000"])
    assert np.diff(times).max() > 3 * np.diff(times).min()


@pytest.mark.parametrize("options", [{"kind": "news"}, {"rate": 0.0}, {"ids": 0}])
def test_what_cannot_be_generated(options):
    with pytest.raises(ConfigError, match="generate: "):
        generate(**{"kind": "ticks", "rate": 1.0} | options)


# ---------------------------------------------------------------- pace


def at(*seconds):
    return Piece([b"x"] * len(seconds), None, [START + round(each * 1e9) for each in seconds])


def test_records_are_sent_when_they_are_due():
    clock = FakeClock()
    broker = FakeBroker(clock)
    broker.create_topic("t")
    seen = [
        (done.records, clock.now())
        for done in produce(broker, "t", [at(0, 1, 1), at(3), at(2, 10)], speed=2.0)
    ]
    reached = {count: min(time for records, time in seen if records >= count) for count in (1, 3, 4, 6)}
    assert reached == pytest.approx({1: 0.0, 3: 0.5, 4: 1.5, 6: 5.0}, abs=0.01)
    assert max(b - a for (_, a), (_, b) in itertools.pairwise(seen)) <= 0.11


def test_so_many_records_and_no_more():
    broker = FakeBroker()
    broker.create_topic("t")
    *_, done = produce(broker, "t", generate("ticks", rate=10.0), count=1234)
    assert done.records == 1234 == broker.describe("t").end[0]


def test_closed_before_its_end_it_has_sent_what_it_said():
    broker = FakeBroker()
    broker.create_topic("t")
    sending = produce(broker, "t", generate("ticks", rate=10.0))
    done = next(sending)
    sending.close()
    assert broker.describe("t").end[0] == done.records


def test_speed_needs_times_and_a_refusal_is_heard():
    broker = FakeBroker()
    with pytest.raises(ConfigError, match="speed needs the times"):
        list(produce(broker, "t", [Piece([b"1"], None, None)], speed=1.0))
    with pytest.raises(QueueError):
        list(produce(broker, "absent", [Piece([b"1"], None, None)]))


# ---------------------------------------------------------------- the command


def run(*arguments):
    return CliRunner().invoke(cli, ["produce", *map(str, arguments)])


def test_the_command_makes_the_topic_and_fills_it(tmp_path):
    broker = f"sqlite:///{tmp_path}/queue.db"
    many = ("--fast", "--count", 2500, "--topic", "fx", "--partitions", 3, "--json")
    facts = json.loads(run("--generate", "ticks", *many, "--broker", broker).stdout)
    assert (facts["topic"], facts["records"]) == ("fx", 2500)
    with open_broker(broker) as opened:
        assert sum(opened.describe("fx").end.values()) == 2500
        assert opened.describe("fx").partitions == 3


def test_the_command_replays_a_file(tmp_path):
    (tmp_path / "a.csv").write_text(CSV)
    broker = f"sqlite:///{tmp_path}/queue.db"
    done = run(
        tmp_path / "a.csv",
        "--topic",
        "t",
        "--broker",
        broker,
        "--key",
        "symbol",
        "--time",
        "time",
        "--speed",
        50,
    )
    assert done.output.startswith("t: 2 records, ")
    with open_broker(broker) as opened, opened.reader("t") as reader:
        records = reader.poll(10, timeout=5.0)
    assert [(record.key, record.timestamp) for record in records] == [
        (b"EUR", START // 10**6),
        (b"USD", START // 10**6 + 2000),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--topic", "t"], "give a file, or --generate"),
        (["{file}", "--generate", "ticks", "--topic", "t"], "give a file, or --generate, not both"),
        (["{file}", "--topic", "t", "--speed", "2"], "--speed needs --time"),
        (["absent.csv", "--topic", "t"], "absent.csv: No such file or directory"),
    ],
)
def test_what_the_command_is_not_told(tmp_path, arguments, says):
    (tmp_path / "a.csv").write_text(CSV)
    done = run(
        *(each.format(file=tmp_path / "a.csv") for each in arguments),
        "--broker",
        f"sqlite:///{tmp_path}/q.db",
    )
    assert done.exit_code == 2
    assert says in done.output


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [("a.csv", "a,b\n1\n", []), ("a.jsonl", "no json\n", []), ("a.csv", CSV, ["--key", "nokey"])],
)
def test_a_file_that_cannot_be_read_makes_no_topic(tmp_path, name, text, options):
    (tmp_path / name).write_text(text)
    broker = f"sqlite:///{tmp_path}/q.db"
    done = run(tmp_path / name, *options, "--topic", "t", "--broker", broker)
    assert done.exit_code == 2, done.output
    with open_broker(broker) as opened:
        assert list(opened.topics()) == []
