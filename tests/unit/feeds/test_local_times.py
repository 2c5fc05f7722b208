"""Times without an offset are of their column's zone in every format that has them; instants are not."""

import datetime as dt
import io
import struct

import msgspec
import numpy as np
import pytest

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.decode.convert import Conversion
from streamzarr.feeds.decode.values import Values
from streamzarr.feeds.of_record import OfRecord
from streamzarr.queue import Columns, TopicPartition
from tests.support.decoding import specs

OSLO = specs(x=("M8[ms]", {"zone": "Europe/Oslo"}))
UTC = specs(x="M8[ms]")
SUMMER = "2026-07-05T12:00"
SUMMER_MS = 1_783_252_800_000
GAP_MS = SUMMER_MS - 98 * 86_400_000 - 34_200_000  # 2026-03-29T02:30
TWICE_MS = GAP_MS + 210 * 86_400_000  # 2026-10-25T02:30


def arrow(array) -> bytes:
    pa = pytest.importorskip("pyarrow")
    out = io.BytesIO()
    batch = pa.record_batch([array], names=["x"])
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    return out.getvalue()


def of_arrow(array, columns=OSLO):
    return open_decoder("arrow", columns)([arrow(array)])


def of_struct(numbers, dtype, columns=OSLO):
    decode = open_decoder("struct", columns, dtype=[["x", dtype]])
    return decode([np.array([each], "i8").astype(dtype[0] + "i8").tobytes() for each in numbers])


def of_avro(numbers, logical, columns=OSLO, kind="long"):
    number = {"type": kind, "logicalType": logical}
    return of_avro_type(numbers, number, columns)


def of_avro_type(numbers, kind, columns=OSLO):
    fastavro = pytest.importorskip("fastavro")
    given = {"type": "record", "name": "R", "fields": [{"name": "x", "type": kind}]}
    plain = fastavro.parse_schema(_without_logical(given))
    values = []
    for each in numbers:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, plain, {"x": each})
        values.append(out.getvalue())
    return open_decoder("avro", columns, schema=given, framing="none")(values)


def _without_logical(node):
    if isinstance(node, dict):
        return {key: _without_logical(each) for key, each in node.items() if key != "logicalType"}
    return [_without_logical(each) for each in node] if isinstance(node, list) else node


def hours(decoded) -> list[float]:
    """How far the times are from noon of a day in summer, in hours."""
    assert not decoded.bad
    return ((decoded.columns["x"] - np.datetime64(SUMMER)) / np.timedelta64(1, "h")).tolist()


@pytest.mark.parametrize("form", ["plain", "words", "runs", "union", "deep"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_arrow(unit, form):
    pa = pytest.importorskip("pyarrow")
    array = pa.array([dt.datetime(2026, 7, 5, 12)], pa.timestamp(unit))
    first = pa.array([0], "i4")
    array = {
        "plain": lambda: array,
        "words": array.dictionary_encode,
        "runs": lambda: pa.RunEndEncodedArray.from_arrays(pa.array([1], "i4"), array),
        "union": lambda: pa.UnionArray.from_dense(first.cast("i1"), first, [array]),
        "deep": lambda: pa.RunEndEncodedArray.from_arrays(pa.array([1], "i4"), array.dictionary_encode()),
    }[form]()
    assert hours(of_arrow(array)) == [-2]
    assert hours(of_arrow(array, UTC)) == [0]


def test_days_of_arrow():
    pa = pytest.importorskip("pyarrow")
    for kind in (pa.date32(), pa.date64()):
        assert hours(of_arrow(pa.array([dt.date(2026, 7, 5)], kind))) == [-14]


def test_instants_and_local_times_of_arrow_in_one_batch():
    pa = pytest.importorskip("pyarrow")
    kinds = [pa.timestamp("ms"), pa.timestamp("ms", "UTC"), pa.date64(), pa.timestamp("ms", "Asia/Tokyo")]
    messages = [arrow(pa.array([SUMMER_MS // 86_400_000 * 86_400_000], kind)) for kind in kinds]
    assert hours(open_decoder("arrow", OSLO)(messages)) == [-14, -12, -14, -12]


@pytest.mark.parametrize("order", "<>")
def test_packed_structs(order):
    assert hours(of_struct([SUMMER_MS], f"{order}M8[ms]")) == [-2]
    assert hours(of_struct([SUMMER_MS // 1000] * 2, f"{order}M8[s]")) == [-2, -2]
    assert hours(of_struct([SUMMER_MS // 1000], f"{order}M8[s]", UTC)) == [0]


@pytest.mark.parametrize(("name", "times"), [("millis", 1), ("micros", 1000), ("nanos", 10**6)])
def test_avro(name, times):
    noon = [SUMMER_MS * times]
    assert hours(of_avro(noon, f"local-timestamp-{name}")) == [-2]
    assert hours(of_avro(noon, f"local-timestamp-{name}", UTC)) == [0]
    assert hours(of_avro(noon, f"timestamp-{name}")) == [0]
    either = ["null", {"type": "long", "logicalType": f"local-timestamp-{name}"}, "string"]
    assert hours(of_avro_type([*noon, SUMMER, SUMMER + "Z"], either)) == [-2, -2, 0]


def test_days_of_avro():
    assert hours(of_avro([SUMMER_MS // 86_400_000], "date", kind="int")) == [-14]


def test_what_may_be_either_by_a_schema_of_avro_is_refused_where_there_is_a_zone():
    both = [{"type": "long", "logicalType": "local-timestamp-millis"}, "int"]
    columns = specs(x=("M8[ms]", {"zone": "Europe/Oslo", "unit": "ms"}))
    with pytest.raises(ConfigError, match="column 'x': numbers in UTC, and of its zone, by one schema"):
        of_avro_type([1], both, columns)
    assert of_avro_type([1], both, specs(x=("M8[ms]", {"unit": "ms"}))).rows == 1


@pytest.mark.parametrize(
    "of",
    [
        lambda numbers: of_struct(numbers, "<M8[ms]"),
        lambda numbers: of_avro(numbers, "local-timestamp-millis"),
        lambda numbers: of_arrow_numbers(numbers, lambda array: array),
        lambda numbers: of_arrow_numbers(numbers, lambda array: array.dictionary_encode()),
    ],
    ids=["struct", "avro", "arrow", "words"],
)
def test_what_a_clock_leaves_out_or_has_twice_is_bad(of):
    [reason] = of([GAP_MS]).bad.values()
    assert "got 2026-03-29T02:30" in reason
    assert "in Europe/Oslo there is this one not, as the clock was put forward" in reason
    [reason] = of([TWICE_MS]).bad.values()
    assert "there is this one twice" in reason
    assert not of([GAP_MS - 3_600_000]).bad
    [reason] = of([2**62]).bad.values()
    assert "expected a year from 2 to 9998 for local time" in reason


def of_arrow_numbers(numbers, form):
    pa = pytest.importorskip("pyarrow")
    return of_arrow(form(pa.array(numbers, pa.int64()).cast(pa.timestamp("ms"))))


def test_instants_have_no_zone():
    value = msgspec.msgpack.encode({"x": dt.datetime(2026, 7, 5, 12, tzinfo=dt.UTC)})
    assert hours(open_decoder("msgpack", OSLO)([value])) == [0]
    for name, encode in (("json", msgspec.json.encode), ("msgpack", msgspec.msgpack.encode)):
        assert hours(open_decoder(name, OSLO)([encode({"x": SUMMER_MS})])) == [0]
        assert hours(open_decoder(name, OSLO)([encode({"x": SUMMER})])) == [-2]
        assert hours(open_decoder(name, OSLO)([encode({"x": "2026-07-05"})])) == [-14]
    assert hours(open_decoder("struct", OSLO, dtype=[["x", "<i8"]])([struct.pack("<q", SUMMER_MS)])) == [0]
    run = Columns(TopicPartition("t", 0), [7], [b""], [b""], None, [SUMMER_MS])
    column, bad = OfRecord(ColumnSpec("x", "M8[ms]", source="@timestamp", zone="Europe/Oslo"))(run)
    assert not bad
    assert column[0] == np.datetime64(SUMMER)


def test_timestamps_of_protobuf_are_instants():
    at = np.datetime64("2026-07-05T12:00:00", "ns")  # as its decoder gives them
    column, _ = Conversion(OSLO["x"])(Values([at]))
    assert column[0] == at


def test_dates_and_times_of_python_are_local_where_they_have_no_offset():
    noon = dt.datetime(2026, 7, 5, 12)
    values = [noon, noon.date(), noon.replace(tzinfo=dt.UTC)]
    column, bad = Conversion(OSLO["x"])(Values(values))
    expected = ["2026-07-05T10:00", "2026-07-04T22:00", SUMMER]
    assert column.tolist() == np.array(expected, "M8[ms]").tolist()
    assert not bad


def test_a_local_time_is_no_duration_and_no_number():
    for columns in (specs(x="m8[s]"), specs(x="f8"), specs(x="string")):
        [reason] = of_struct([SUMMER_MS], "<M8[ms]", columns).bad.values()
        assert "got 2026-07-05T12:00:00.000" in reason
