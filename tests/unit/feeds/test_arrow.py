"""Arrow: types, nested columns, dictionaries, and streams that are not what they say."""

import datetime as dt
import io
import struct
import uuid

import numpy as np
import pytest

from streamzarr.feeds.decode import open_decoder
from streamzarr.limits import Limits
from tests.support.decoding import specs

pa = pytest.importorskip("pyarrow")


def stream(table, **options) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return out.getvalue()


def test_types_of_arrow():
    table = pa.table(
        {
            "t": pa.array([1_767_605_400_123_456], pa.timestamp("us", "UTC")),
            "day": pa.array([20_458], pa.date32()),
            "price": pa.array(["20472.80"]).cast(pa.decimal128(10, 2)),
            "n": pa.array([255], pa.uint8()),
            "flag": pa.array([True]),
            "name": pa.array(["naïve"]).dictionary_encode(),
            "quote": pa.array([{"bid": 1.5}]),
            "raw": pa.array([b"\0a"]),
        }
    )
    columns = specs(
        t="M8[ns]", day="M8[s]", price=("i8", {"decimals": 2}), n="i1", flag="?", name="U8", raw="bytes",
        bid=("f4", {"source": "quote.bid"}), absent=("f4", {"required": False}),
    )  # fmt: skip
    decode = open_decoder("arrow", columns)
    bad = decode([stream(table)])
    assert bad.bad == {0: "column 'n': got 255, expected an integer from -128 to 127"}
    decoded = decode([stream(table.set_column(3, "n", pa.array([7], "u1")))] * 2)
    found = {name: column.tolist()[0] for name, column in decoded.columns.items()}
    expected = {"price": 2047280, "n": 7, "flag": True, "name": "naïve", "raw": b"\0a", "bid": 1.5}
    assert {name: found[name] for name in expected} == expected
    assert decoded.columns["t"].view("i8").tolist() == [1_767_605_400_123_456_000] * 2
    assert str(decoded.columns["day"][0]) == "2026-01-05T00:00:00"
    assert np.isnan(decoded.columns["absent"]).all()


def test_schemas_may_differ_between_messages():
    columns = specs(x=("f8", {"required": False}))
    values = [
        stream(pa.table({"x": each})) for each in ([1.5, None], [2], pa.array(["2.5"]), pa.array([], "f8"))
    ]
    decoded = open_decoder("arrow", columns)(values)
    np.testing.assert_array_equal(decoded.columns["x"], [1.5, np.nan, 2, 2.5])
    assert decoded.origin.tolist() == [0, 0, 1, 2]


def test_what_is_no_struct_is_said():
    decoded = open_decoder("arrow", specs(x=("f8", {"source": "a.b"})))([stream(pa.table({"a": [1]}))])
    assert decoded.bad == {0: "arrow: got int64 on the way to a.b, expected a struct"}


def test_little_is_not_made_much():
    small = Limits(max_message_bytes=20_000, max_message_records=5000)
    decode = open_decoder("arrow", specs(x="string"), limits=small)
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 4000, "i1"), pa.array(["a" * 10_000]))
    batch = [stream(pa.table({"x": repeated})), stream(pa.table({"x": pa.nulls(6000, "i8")})), b"", None]
    assert decode(batch).bad == {
        0: "arrow: got 4000 texts of up to 10000 bytes by a dictionary",
        1: "arrow: got 49032 bytes, expected 20000 at most",
        2: "arrow: Tried reading schema message, was null or length 0",
        3: "arrow: no value",
    }


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_compressed_buffers_are_refused(codec):
    """What they grow to is stated by whoever sent them."""
    value = stream(pa.table({"x": pa.array(["a"] * 1000).dictionary_encode()}), compression=codec)
    decoded = open_decoder("arrow", specs(x="f8"))([value])
    assert decoded.bad == {
        0: "arrow: got buffers that are compressed, expected plain ones; compress the message"
    }


def test_offsets_that_point_elsewhere_are_found():
    value = bytearray(stream(pa.table({"x": ["aaaa", "bbbb"]})))
    at = value.index(struct.pack("<3i", 0, 4, 8))
    value[at : at + 12] = struct.pack("<3i", 0, 400_000_000, 8)
    decoded = open_decoder("arrow", specs(x="string"))([bytes(value)])
    assert decoded.bad.keys() == {0}


def test_what_lies_behind_the_end_of_a_stream_is_not_passed_over():
    one = stream(pa.table({"x": [1.5]}))
    decoded = open_decoder("arrow", specs(x="f8"))([one + one, one, one + b"\0", one[:-8]])
    assert decoded.origin.tolist() == [1, 3]  # the last has no end, as when its writer was not closed
    assert decoded.bad == {
        0: f"arrow: got {len(one)} bytes behind the end of the stream",
        2: "arrow: got 1 bytes behind the end of the stream",
    }


def test_of_two_fields_of_one_name_none_is_taken():
    twice = pa.table([pa.array([1.5]), pa.array([2.5]), pa.array([{"b": 1}])], names=["x", "x", "a"])
    inner = pa.StructArray.from_arrays([pa.array([1.5]), pa.array([2.5])], ["b", "b"])
    bad = open_decoder("arrow", specs(x="f8"))([stream(twice)]).bad
    assert bad == {0: "arrow: got 2 fields called 'x'"}
    columns = specs(x=("f8", {"source": "a.b"}))
    bad = open_decoder("arrow", columns)([stream(twice), stream(pa.table({"a": inner}))]).bad
    assert bad == {1: "arrow: got 2 fields called 'b'"}


def test_times_of_day_are_durations_and_uuids_texts():
    identity = uuid.UUID(int=5)
    table = pa.table(
        {
            "s": pa.array([dt.time(1, 2, 3), None], pa.time32("s")),
            "us": pa.array([dt.time(1, 2, 3, 4), None], pa.time64("us")),
            "id": pa.array([identity.bytes, None], pa.uuid()),
        }
    )
    optional = {"required": False}
    columns = specs(
        s=("m8[s]", optional),
        us=("m8[ms]", optional),
        id=("U36", optional),
    )
    found = open_decoder("arrow", columns)([stream(table)]).columns
    assert found["s"].view("i8")[0] == 3723
    assert found["us"].view("i8")[0] == 3_723_000
    assert found["id"].tolist() == [str(identity), ""]
