"""Floats of 32 and 16 bits: they count as the shortest decimals that they are, not as those of 64 bits."""

import io
import struct

import msgspec
import numpy as np
import pytest

from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.decode.convert import Conversion
from streamzarr.feeds.decode.values import Values
from tests.support.decoding import specs

PRICES = [20.72, 0.29, 20472.8, 99999.99, -0.01, 0.0]
CENTS = [2072, 29, 2047280, 9999999, -1, 0]
COLUMNS = specs(x=("i8", {"decimals": 2}))


def of_struct(prices):
    decode = open_decoder("struct", COLUMNS, dtype=[["x", "<f4"]])
    return decode([struct.pack("<f", each) for each in prices])


def of_big_struct(prices):
    decode = open_decoder("struct", COLUMNS, dtype=[["x", ">f4"]])
    return decode([struct.pack(">f", each) for each in prices])


def of_arrow(prices, form=lambda array: array):
    pa = pytest.importorskip("pyarrow")
    out = io.BytesIO()
    batch = pa.record_batch([form(pa.array(prices, pa.float32()))], names=["x"])
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    return open_decoder("arrow", COLUMNS)([out.getvalue()])


def of_arrow_words(prices):
    return of_arrow(prices, lambda array: array.dictionary_encode())


def of_avro(prices, kind="float"):
    fastavro = pytest.importorskip("fastavro")
    schema = {"type": "record", "name": "R", "fields": [{"name": "x", "type": kind}]}
    values = []
    for each in prices:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(schema), {"x": each})
        values.append(out.getvalue())
    return open_decoder("avro", COLUMNS, schema=schema, framing="none")(values)


def of_avro_union(prices):
    return of_avro(prices, ["null", "float", "int", "string"])


def of_protobuf(prices, path="x"):
    pytest.importorskip("google.protobuf")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    file = descriptor_pb2.FileDescriptorProto(
        name="t.proto", package="t", syntax="proto3", dependency=[wrappers.name]
    )
    made = file.message_type.add(name="M")
    made.field.add(name="x", number=1, type=2, label=1)
    made.field.add(name="w", number=2, type=11, label=1, type_name=".google.protobuf.FloatValue")
    made.field.add(name="r", number=3, type=2, label=3)
    files = descriptor_pb2.FileDescriptorSet(file=[wrappers, file])
    pool = descriptor_pool.DescriptorPool()
    for each in files.file:
        pool.Add(each)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.M"))
    decode = open_decoder(
        "protobuf",
        specs(x=("i8", {"decimals": 2, "source": path})),
        descriptor=files.SerializeToString(),
        message="t.M",
    )
    messages = [kind(x=each, w={"value": each}, r=[each]) for each in prices]
    return decode([each.SerializeToString() for each in messages])


def of_protobuf_wrapper(prices):
    return of_protobuf(prices, "w")


def of_protobuf_repeated(prices):
    return of_protobuf(prices, "r.0")


FORMATS = [
    of_struct,
    of_big_struct,
    of_arrow,
    of_arrow_words,
    of_avro,
    of_avro_union,
    of_protobuf,
    of_protobuf_wrapper,
    of_protobuf_repeated,
]


@pytest.mark.parametrize("of", FORMATS, ids=lambda of: of.__name__)
def test_a_narrow_float_is_its_shortest_decimal(of):
    decoded = of(PRICES)
    assert not decoded.bad
    assert decoded.columns["x"].tolist() == CENTS


@pytest.mark.parametrize("of", FORMATS, ids=lambda of: of.__name__)
def test_what_a_narrow_float_cannot_tell_apart_is_bad(of):
    [reason] = of([200_000.01]).bad.values()
    assert reason.endswith(
        "got 200000.02, expected a smaller number, as no float32 beyond tells 2 decimals apart"
    )
    [reason] = of([20.725]).bad.values()
    assert reason.endswith("got 20.725, expected 2 decimals at most")
    [reason] = of([float("inf")]).bad.values()
    assert reason.endswith("got inf, expected a finite number")


def test_a_half_float_has_three_digits():
    column, bad = Conversion(ColumnSpec("x", "i4", decimals=2))(Values(np.array([1.25, 9.99, 20.1], "f2")))
    assert column[:2].tolist() == [125, 999]
    assert "no float16 beyond tells 2 decimals apart" in bad[2]


def test_a_union_of_floats_and_doubles_has_doubles():
    assert of_avro([20.5], ["float", "double"]).columns["x"].tolist() == [2050]


def test_messagepack_does_not_say_how_wide_a_float_is():
    value = b"\x81\xa1x\xca" + struct.pack(">f", 20.72)
    assert "got 20.719999313354492" in open_decoder("msgpack", COLUMNS)([value]).bad[0]
    assert open_decoder("msgpack", COLUMNS)([msgspec.msgpack.encode({"x": 20.72})]).columns["x"].tolist() == [
        2072
    ]


def test_narrow_floats_in_other_columns_are_what_they_were():
    values = Values(np.array([0.1, 5, np.nan], "f4"))
    column, _ = Conversion(ColumnSpec("x", "f8"))(values)
    np.testing.assert_array_equal(column, [float(np.float32(0.1)), 5, np.nan])
    column, bad = Conversion(ColumnSpec("x", "i2"))(values)
    assert (column[1], bad.keys()) == (5, {0, 2})
    assert Conversion(ColumnSpec("x", "i8"))(Values(np.array([np.inf, 3], "f2")))[1].keys() == {0}
    assert Conversion(ColumnSpec("x", "f2"))(Values(np.array([1e5], "f4")))[1] == {
        0: "column 'x': got 100000.0, expected a number that float16 can hold"
    }


def test_a_narrow_float_of_seconds_is_its_shortest_decimal_as_far_as_it_is_exact():
    spec = ColumnSpec("x", "m8[us]", unit="s")
    column, bad = Conversion(spec)(Values(np.array([0.1, 2.5, 2**24 + 2], "f4")))
    assert column.view("i8")[:2].tolist() == [100_000, 2_500_000]
    assert bad == {
        2: "column 'x': got 1.6777218e+07, expected an integer of s, as a float32 beyond 2**24 is not exact"
    }
