"""What ``produce`` is given by mistake: told in a sentence that names the file, and nothing is made up."""

import gzip
import json
import math

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from streamzarr.cli.main import cli
from streamzarr.errors import ConfigError
from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.produce import read_file
from tests.support.decoding import specs

ROWS = b"a,b\n1,2\n3,4\n"
PACKED = gzip.compress(ROWS, mtime=0)


def read(path, **options):
    return [value for piece in read_file(path, **options) for value in piece.values]


def test_a_mark_at_the_beginning_is_no_part_of_a_name(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + ROWS)
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"a":1}\n')
    assert read(tmp_path / "a.csv", key="a")[0] == b'{"a":1,"b":2}'
    assert read(tmp_path / "a.jsonl") == [b'{"a":1}']


def test_empty_lines_are_no_records(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"a,b\n\n1,2\n\n3,4\n\n")
    assert len(read(tmp_path / "a.csv")) == 2


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.csv", b"a,b,a\n1,2,3\n", "column 'a' is there twice"),
        ("a.csv", "a,b\nü,2\n".encode("latin-1"), "damaged, 0 records were read: 'utf-8' codec"),
        ("a.csv.gz", PACKED[:-10], "damaged, 0 records were read"),
        ("a.csv.gz", PACKED[:14] + b"\xff" + PACKED[15:], "damaged, 0 records were read"),
        ("a.csv.gz", ROWS, "damaged, 0 records were read: Not a gzipped file"),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', "damaged, 0 records were read"),
        ("a.jsonl", b"[" * 100_000 + b"\n", "line 1: maximum recursion depth"),
    ],
)
def test_a_file_that_is_damaged(tmp_path, name, data, reason):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=f"{name}: {reason}"):
        read(path)


def test_a_number_that_a_format_cannot_hold(tmp_path):
    (tmp_path / "a.csv").write_text(f"n\n1\n{2**70}\n")
    assert [json.loads(each)["n"] for each in read(tmp_path / "a.csv")] == [1, 2**70]
    with pytest.raises(ConfigError, match="record 1: msgpack cannot hold it"):
        read(tmp_path / "a.csv", format="msgpack")


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e-400", "-0.1e-400", "0." + "0" * 400 + "1"])
def test_a_number_that_no_float_is_near_to(tmp_path, number):
    (tmp_path / "a.csv").write_text(f"n\n1.5\n{number}\n")
    (tmp_path / "a.jsonl").write_text(f'{{"n": [1.5]}}\n{{"n": [{number}]}}\n')
    for name in ("a.csv", "a.jsonl"):
        assert number.encode() in read(tmp_path / name)[1]
        with pytest.raises(ConfigError, match="record 1: msgpack cannot hold it: got the number "):
            read(tmp_path / name, format="msgpack")


def test_zeros_keep_their_signs(tmp_path):
    zeros = ["0", "-0", "0.0", "-0.0", "-0e5", "0e-999", "-0e999"]
    (tmp_path / "a.csv").write_text("n\n" + "".join(f"{each}\n" for each in zeros))
    (tmp_path / "a.jsonl").write_text("".join(f'{{"n": {each}}}\n' for each in zeros))
    for name in ("a.csv", "a.jsonl"):
        for form in ("csv", "msgpack"):
            found = open_decoder(form, specs(n="f8"))(read(tmp_path / name, format=form)).columns["n"]
            assert found.tolist() == [0.0] * len(zeros)
            assert np.signbit(found).tolist() == [each.startswith("-") for each in zeros]


def test_a_field_may_be_long(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n" + "x" * 500_000 + ",2\n")
    assert len(read(tmp_path / "a.csv", format="csv")[0]) == 500_002


def test_numbers_of_json_keep_their_digits_in_every_format(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"p": 0.1234567890123456789, "n": {"q": 1.50}, "i": 9007199254740993}\n'
    )
    assert read(tmp_path / "a.jsonl", key="p")[0].startswith(b'{"p": 0.1234567890123456789')
    [piece] = read_file(tmp_path / "a.jsonl", format="msgpack", key="p")
    assert piece.keys == [b"0.1234567890123456789"]
    found = msgspec.msgpack.decode(piece.values[0])
    assert found == {"p": 0.1234567890123456789, "n": {"q": 1.5}, "i": 2**53 + 1}
    (tmp_path / "b.jsonl").write_text('{"p": 0.1234567890123456789, "ok": true, "none": null}\n')
    assert read(tmp_path / "b.jsonl", format="csv") == [b"0.1234567890123456789,True,"]


def test_what_a_line_of_csv_cannot_hold(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": {"b": 1}}\n')
    with pytest.raises(ConfigError, match="record 0: csv cannot hold it: a field is no object"):
        read(tmp_path / "a.jsonl", format="csv")
    with pytest.raises(ConfigError, match="record 0: an object or an array is no key"):
        read(tmp_path / "a.jsonl", key="a")


def parquet(path, **columns):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table(list(columns.values()), names=[name.rstrip("_") for name in columns]), path)
    return path


def test_odd_types_of_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    moment = 1_767_605_400_123_456_789
    times = pa.struct([("t", pa.timestamp("ns"))])
    path = parquet(
        tmp_path / "a.parquet",
        high=pa.array([math.inf]),
        low=pa.array([[-math.inf]]),
        text=pa.array([b"EUR"]),
        took=pa.array([1500], pa.duration("us")),
        at=pa.array([{"t": moment}], times),
        many=pa.array([[moment]], pa.list_(pa.timestamp("ns"))),
        by=pa.array([[("k", moment)]], pa.map_(pa.string(), pa.timestamp("ns"))),
    )
    told = "2026-01-05 09:30:00.123456789"
    assert json.loads(read(path)[0]) == {
        "high": "Infinity",
        "low": ["-Infinity"],
        "text": "EUR",
        "took": 1500,
        "at": {"t": told},
        "many": [told],
        "by": [["k", told]],
    }
    assert msgspec.msgpack.decode(read(path, format="msgpack")[0])["high"] == math.inf


@pytest.mark.parametrize("form", ["json", "msgpack", "csv"])
def test_nan_and_infinities_are_no_nulls(tmp_path, form):
    pa = pytest.importorskip("pyarrow")
    numbers = [1.5, math.nan, None, math.inf, -math.inf]
    parquet(tmp_path / "a.parquet", x=pa.array(numbers), y=pa.array([[each] for each in numbers]))
    parquet(tmp_path / "b.parquet", x=pa.array(numbers))
    (tmp_path / "c.csv").write_text('x\n1.5\nNaN\n""\nInfinity\n-inf\n')
    (tmp_path / "d.jsonl").write_text("".join(f'{{"x": {each}}}\n' for each in ("1.5", "NaN", "null")))
    told = {
        "json": b'{"x":"NaN","y":["NaN"]}',
        "msgpack": msgspec.msgpack.encode({"x": math.nan, "y": [math.nan]}),
    }
    if form in told:
        assert read(tmp_path / "a.parquet", format=form)[1] == told[form]
    for name in ("b.parquet", "c.csv"):
        values = read(tmp_path / name, format=form)
        decoded = open_decoder(form, specs(x="f8"))(values)
        assert decoded.bad == {2: "column 'x': no value"}
        np.testing.assert_array_equal(decoded.columns["x"], [1.5, math.nan, math.inf, -math.inf])
    if form != "json":  # in which the line is as it is in the file
        decoded = open_decoder(form, specs(x="f8"))(read(tmp_path / "d.jsonl", format=form))
        assert decoded.bad == {2: "column 'x': no value"}
        np.testing.assert_array_equal(decoded.columns["x"], [1.5, math.nan])


def test_bytes_of_parquet_that_are_no_text(tmp_path):
    pa = pytest.importorskip("pyarrow")
    path = parquet(tmp_path / "a.parquet", raw=pa.array([b"\xff"]))
    [piece] = read_file(path, format="msgpack", key="raw")
    assert (piece.values, piece.keys) == ([b"\x81\xa3raw\xc4\x01\xff"], [b"\xff"])
    for form in ("json", "csv"):
        with pytest.raises(ConfigError, match=f"record 0: {form} cannot hold it: bytes that are no text"):
            read(path, format=form)


def test_two_columns_of_one_name_in_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    path = parquet(tmp_path / "a.parquet", a=pa.array([1]), a_=pa.array([2]))
    with pytest.raises(ConfigError, match="column 'a' is there twice"):
        read(path)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--generate", "ticks", "--format", "csv"], "--format is for a file"),
        (["--generate", "ticks", "--key", "symbol"], "--key is for a file"),
        (["a.csv", "--rate", "5"], "--rate is for --generate"),
        (["a.csv", "--fast"], "--fast is for --generate"),
    ],
)
def test_an_option_that_has_no_meaning_is_refused(tmp_path, arguments, reason):
    broker = f"sqlite:///{tmp_path}/queue.db"
    found = CliRunner().invoke(cli, ["produce", *arguments, "--topic", "t", "--broker", broker])
    assert found.exit_code == 2
    assert reason in found.stderr
