"""Avro: framings, a registry, logical types, schemas that change, and what is refused."""

import datetime as dt
import decimal
import io
import json
import struct

import numpy as np
import pytest

from streamzarr.errors import ConfigError, SchemaRegistryError
from streamzarr.feeds.decode import open_decoder, registry
from tests.support.decoding import specs
from tests.support.schema_registry import SchemaRegistry

fastavro = pytest.importorskip("fastavro")

TICK = {
    "type": "record",
    "name": "market.Tick",
    "fields": [
        {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "bid", "type": ["null", "double"]},
        {"name": "size", "type": "int"},
        {"name": "symbol", "type": {"type": "enum", "name": "Symbol", "symbols": ["EUR", "USD"]}},
    ],
}
NEWER = {
    **TICK,
    "fields": [
        {"name": "venue", "type": "string"},
        {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
        {"name": "bid", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
        {"name": "symbol", "type": "string"},
    ],
}
COLUMNS = specs(
    time=("M8[us]", {"source": "ts"}),
    bid=("f8", {"required": False}),
    size=("u2", {"required": False}),
    symbol="U4",
)
AT = dt.datetime(2026, 1, 5, 9, 30, tzinfo=dt.UTC)


def body(schema, record) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
    return out.getvalue()


def tick(**fields):
    return body(TICK, {"ts": AT, "bid": 1.5, "size": 3, "symbol": "EUR"} | fields)


def newer():
    return body(
        NEWER, {"venue": "X", "ts": 1767605400123456789, "bid": decimal.Decimal("1.25"), "symbol": "USD"}
    )


def fingerprinted(schema, data) -> bytes:
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    return b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")) + data


def test_bare_records():
    decoded = open_decoder("avro", COLUMNS, schema=TICK, framing="none")(
        [tick(), tick(bid=None), tick(size=70000), b"\1"]
    )
    assert decoded.columns["time"].tolist() == [AT.replace(tzinfo=None)] * 2
    np.testing.assert_array_equal(decoded.columns["bid"], [1.5, np.nan])
    assert decoded.columns["symbol"].tolist() == ["EUR"] * 2
    assert decoded.bad == {
        2: "column 'size': got 70000, expected an integer from 0 to 65535",
        3: "avro: ends in the midst of a record",
    }


def test_single_object_encoding_with_several_schemas():
    decode = open_decoder("avro", COLUMNS, schema=[TICK, NEWER])
    batch = [fingerprinted(TICK, tick()), fingerprinted(NEWER, newer()), b"\xc3\x01abcdefgh", tick(), None]
    decoded = decode(batch)
    assert decoded.columns["time"].tolist() == [
        AT.replace(tzinfo=None),
        dt.datetime(2026, 1, 5, 9, 30, 0, 123456),
    ]
    assert decoded.columns["bid"].tolist() == [1.5, 1.25]
    assert decoded.origin.tolist() == [0, 1]
    assert (
        decoded.bad[2]
        == "avro: begins with 0xc3016162636465666768, which is the fingerprint of none of the schemas"
    )
    assert decoded.bad.keys() == {2, 3, 4}


def test_a_registry_is_asked_once_for_each_schema():
    with SchemaRegistry({7: TICK, 9: NEWER}) as served:
        decode = open_decoder("avro", COLUMNS, registry=served.url)
        batch = [
            b"\0" + struct.pack(">I", number) + data
            for number, data in ((7, tick()), (9, newer()), (8, tick()))
        ]
        decoded = decode([*batch * 3, b"junk!"])
        assert decoded.origin.tolist() == [0, 1, 3, 4, 6, 7]
        assert decoded.bad[2] == f"avro: schema 8 is not in the registry at {served.url}"
        assert decoded.bad[9].startswith("avro: got 5 bytes that begin with 0x6a, expected 0x00")
        assert sorted(served.asked) == ["/schemas/ids/7", "/schemas/ids/8", "/schemas/ids/9"]


def test_a_registry_that_is_away_is_no_fault_of_the_messages(monkeypatch):
    monkeypatch.setattr(registry, "PATIENCE", 0.2)
    with SchemaRegistry({}) as served:
        url = served.url
    decode = open_decoder("avro", COLUMNS, registry=url)
    with pytest.raises(SchemaRegistryError, match="schema registry http://"):
        decode([b"\0" + struct.pack(">I", 7) + tick()])


def test_a_registry_that_comes_back_was_waited_for():
    with SchemaRegistry({7: TICK}, fails=2) as served:
        decode = open_decoder("avro", COLUMNS, registry=served.url)
        assert decode([b"\0" + struct.pack(">I", 7) + tick()]).rows == 1


def test_a_registry_asks_for_a_password():
    with SchemaRegistry({7: TICK}, password="me:hunter2") as served:
        message = b"\0" + struct.pack(">I", 7) + tick()
        url = served.url.replace("//", "//me:hunter2@")
        assert open_decoder("avro", COLUMNS, registry=url)([message]).rows == 1
        with pytest.raises(SchemaRegistryError, match=r"401 .*put user and password") as caught:
            open_decoder("avro", COLUMNS, registry=served.url.replace("//", "//me:wrong@"))([message])
        assert "wrong" not in str(caught.value)


def test_records_below_a_path():
    schema = {
        "type": "record",
        "name": "Book",
        "fields": [
            {"name": "seq", "type": "long"},
            {"name": "levels", "type": {"type": "array", "items": TICK}},
        ],
    }
    columns = specs(seq=("i8", {"source": "$.seq"}), time=("M8[s]", {"source": "ts"}), bid="f8")
    level = {"ts": AT, "bid": 1.5, "size": 3, "symbol": "EUR"}
    message = body(schema, {"seq": 5, "levels": [level, {**level, "bid": 2.5}]})
    decoded = open_decoder("avro", columns, schema=schema, framing="none", records="levels")([message])
    assert decoded.columns["bid"].tolist() == [1.5, 2.5]
    assert decoded.columns["seq"].tolist() == [5, 5]
    assert decoded.columns["time"].tolist() == [AT.replace(tzinfo=None)] * 2


NESTED = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}


def deep(levels):
    schema = "long"
    for level in range(levels):
        schema = {"type": "record", "name": f"R{level}", "fields": [{"name": "n", "type": schema}]}
    return schema


EMPTY = {"type": "record", "name": "E", "fields": [{"name": "x", "type": {"type": "array", "items": "null"}}]}


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (NESTED, "type 'Node' holds itself"),
        (EMPTY, "arrays of what takes no bytes"),
        ("{", "not a schema of Avro"),
        (json.dumps(deep(67)), "nested more than 200 deep"),
        (deep(400), "not a schema of Avro: RecursionError"),
        ({"type": "enum", "name": 5, "symbols": ["a"]}, "not a schema of Avro: TypeError"),
    ],
)
def test_schemas_that_bound_nothing_are_refused(schema, says):
    with pytest.raises(ConfigError, match=says):
        open_decoder("avro", specs(x="f8"), schema=schema, framing="none")


def test_a_schema_may_be_nested():
    columns = specs(x=("i8", {"source": ".".join(["n"] * 60)}))
    decoded = open_decoder("avro", columns, schema=json.dumps(deep(60)), framing="none")([b"\x0e"])
    assert decoded.columns["x"].tolist() == [7]


@pytest.mark.parametrize("options", [{}, {"schema": TICK, "framing": "confluent"}, {"registry": "ftp://x"}])
def test_options_that_do_not_fit(options):
    with pytest.raises(ConfigError):
        open_decoder("avro", COLUMNS, **options)
