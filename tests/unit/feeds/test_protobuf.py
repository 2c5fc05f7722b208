"""Protobuf: presence, repeated fields, times, enumerations, framing, and what is refused."""

import datetime as dt

import numpy as np
import pytest

from streamzarr.errors import ConfigError
from streamzarr.feeds.decode import open_decoder
from tests.support.decoding import specs

pytest.importorskip("google.protobuf")
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2, wrappers_pb2

Field = descriptor_pb2.FieldDescriptorProto
KINDS = {
    "double": 1,
    "float": 2,
    "int64": 3,
    "uint64": 4,
    "int32": 5,
    "bool": 8,
    "string": 9,
    "message": 11,
    "enum": 14,
}


def field(message, number, name, kind, *, repeated=False, optional=False, type_name=None):
    made = message.field.add(
        name=name, number=number, type=KINDS[kind], label=3 if repeated else 1, type_name=type_name
    )
    if optional:
        made.oneof_index = len(message.oneof_decl)
        made.proto3_optional = True
        message.oneof_decl.add(name=f"_{name}")


def descriptor_set() -> bytes:
    """What protoc would make of market.proto."""
    times, wrappers = descriptor_pb2.FileDescriptorProto(), descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(times)
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    file = descriptor_pb2.FileDescriptorProto(
        name="market.proto", package="market", syntax="proto3", dependency=[times.name, wrappers.name]
    )
    side = file.enum_type.add(name="Side")
    side.value.add(name="BUY", number=0)
    side.value.add(name="SELL", number=1)
    tick = file.message_type.add(name="Tick")
    field(tick, 1, "ts", "message", type_name=".google.protobuf.Timestamp")
    field(tick, 2, "bid", "double")
    field(tick, 3, "ask", "double", optional=True)
    field(tick, 4, "side", "enum", type_name=".market.Side")
    field(tick, 5, "id", "uint64")
    field(tick, 6, "sizes", "int32", repeated=True)
    batch = file.message_type.add(name="Batch")
    field(batch, 1, "symbol", "string")
    field(batch, 2, "ticks", "message", repeated=True, type_name=".market.Tick")
    station = file.message_type.add(name="Station")
    field(station, 1, "at", "message", type_name=".google.protobuf.Timestamp")
    field(station, 2, "gust", "message", type_name=".google.protobuf.DoubleValue")
    for number, (name, key, value) in enumerate(
        (("level", "string", "double"), ("tick", "int32", "message")), 3
    ):
        entry = station.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        field(entry, 1, "key", key)
        field(entry, 2, "value", value, type_name=".market.Tick" if value == "message" else None)
        kind = f".market.Station.{entry.name}"
        field(station, number, name, "message", repeated=True, type_name=kind)
    return descriptor_pb2.FileDescriptorSet(file=[times, wrappers, file]).SerializeToString()


SET = descriptor_set()


def new(name):
    pool = descriptor_pool.DescriptorPool()
    for each in descriptor_pb2.FileDescriptorSet.FromString(SET).file:
        pool.Add(each)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"market.{name}"))()


def tick(**fields) -> bytes:
    made = new("Tick")
    made.ts.FromDatetime(dt.datetime(2026, 1, 5, 9, 30))
    made.ts.nanos = 123456789
    for name, value in fields.items():
        if name == "sizes":
            made.sizes.extend(value)
        else:
            setattr(made, name, value)
    return made.SerializeToString()


COLUMNS = specs(
    time=("M8[ns]", {"source": "ts"}),
    bid="f8",
    ask=("f8", {"required": False}),
    side="U4",
    id="u8",
    first=("i2", {"source": "sizes.0", "required": False, "fill": -1}),
)


def test_fields_with_and_without_presence():
    decode = open_decoder("protobuf", COLUMNS, descriptor=SET, message="market.Tick")
    decoded = decode([tick(bid=1.5, ask=1.75, side=1, id=2**64 - 1, sizes=[3, 4]), tick(), b"\xff\xff"])
    assert decoded.columns["time"].tolist() == [1767605400123456789] * 2
    assert decoded.columns["bid"].tolist() == [1.5, 0.0]
    np.testing.assert_array_equal(decoded.columns["ask"], [1.75, np.nan])
    assert decoded.columns["side"].tolist() == ["SELL", "BUY"]
    assert decoded.columns["id"].tolist() == [2**64 - 1, 0]
    assert decoded.columns["first"].tolist() == [3, -1]
    assert decoded.bad.keys() == {2}
    assert decoded.bad[2].startswith("protobuf: ")


def test_a_descriptor_set_from_a_file(tmp_path):
    (tmp_path / "market.desc").write_bytes(SET)
    decode = open_decoder(
        "protobuf", specs(bid="f4"), descriptor=str(tmp_path / "market.desc"), message="market.Tick"
    )
    assert decode([tick(bid=1.5), None]).bad == {1: "protobuf: no value"}


def test_records_in_a_repeated_field():
    batch = new("Batch")
    batch.symbol = "EUR"
    for bid in (1.5, 2.5):
        batch.ticks.add(bid=bid)
    columns = specs(symbol=("string", {"source": "$.symbol"}), bid="f8")
    decode = open_decoder("protobuf", columns, descriptor=SET, message="market.Batch", records="ticks")
    decoded = decode([batch.SerializeToString(), b"", batch.SerializeToString()])
    assert decoded.columns["bid"].tolist() == [1.5, 2.5] * 2
    assert decoded.columns["symbol"].tolist() == ["EUR"] * 4
    assert decoded.origin.tolist() == [0, 0, 2, 2]


def test_confluents_framing_says_which_message_it_is():
    columns = specs(bid="f8")
    first = open_decoder("protobuf", columns, descriptor=SET, message="market.Tick", framing="confluent")
    head = b"\0\0\0\0\7"
    assert first([head + b"\0" + tick(bid=1.5), head + b"\2\0" + tick(bid=2.5)]).columns["bid"].tolist() == [
        1.5,
        2.5,
    ]
    assert "is of another message of its schema" in first([head + b"\2\2" + tick()]).bad[0]
    symbol = specs(symbol="string")
    second = open_decoder("protobuf", symbol, descriptor=SET, message="market.Batch", framing="confluent")
    assert second([head + b"\2\2" + new("Batch").SerializeToString()]).rows == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"message": "market.Trade"},
            "no message 'market.Trade' in descriptor, which has .*market.Tick, market.Batch",
        ),
        ({"message": "market.Batch"}, "column 'bid': no field 'bid', but symbol, ticks"),
        ({"message": "market.Tick", "records": "sizes"}, "'sizes' is no repeated field of messages"),
        ({"message": "market.Station", "records": "level"}, "'level' is no repeated field of messages"),
        ({"message": "market.Tick", "descriptor": b"\xff"}, "is no descriptor set"),
    ],
)
def test_what_does_not_fit_is_said_at_once(options, says):
    with pytest.raises(ConfigError, match=says):
        open_decoder("protobuf", specs(bid="f8"), **{"descriptor": SET} | options)


def station(**changes) -> bytes:
    made = new("Station")
    for name, value in changes.items():
        if name == "seconds":
            made.at.seconds = value
        elif name == "gust":
            made.gust.value = value
        elif name == "level":
            made.level.update(value)
        else:
            made.tick[value].bid = 1.5
    return made.SerializeToString()


def of_station(columns, *messages):
    return open_decoder("protobuf", columns, descriptor=SET, message="market.Station")(list(messages))


def test_a_time_is_as_wide_as_its_column():
    far = [253_402_300_799, -62_135_596_800]
    found = of_station(specs(at="M8[s]"), *(station(seconds=each) for each in far))
    assert found.columns["at"].view("i8").tolist() == far
    assert of_station(specs(at="M8[ns]"), station(seconds=far[0])).bad == {
        0: "column 'at': got 9999-12-31T23:59:59.000000, expected a time that datetime64[ns] can hold"
    }


def test_a_wrapper_is_its_value_or_none():
    found = of_station(specs(gust=("f8", {"required": False})), station(gust=0), station())
    np.testing.assert_array_equal(found.columns["gust"], [0, np.nan])
    assert of_station(specs(gust=("f8", {"source": "gust.value"})), station()).bad.keys() == {0}


def test_paths_lead_into_maps():
    columns = specs(
        high=("f8", {"source": "level.high", "required": False}),
        bid=("f8", {"source": "tick.-7.bid", "required": False}),
    )
    found = of_station(columns, station(level={"high": 2.5, "low": 1.0}), station(tick=-7), station(tick=7))
    np.testing.assert_array_equal(found.columns["high"], [2.5, np.nan, np.nan])
    np.testing.assert_array_equal(found.columns["bid"], [np.nan, 1.5, np.nan])
    for source in ("tick.x.bid", f"tick.{2**40}.bid", "level", "tick.7"):
        with pytest.raises(ConfigError, match="column 'x'"):
            of_station(specs(x=("f8", {"source": source})))
