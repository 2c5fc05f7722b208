"""Avro's schemas as they come: units through unions and names, decimals, references, odd defaults."""

import datetime as dt
import io
import struct
import time

import pytest

from streamzarr.errors import ConfigError
from streamzarr.feeds.decode import open_decoder
from tests.support.decoding import specs
from tests.support.schema_registry import SchemaRegistry

fastavro = pytest.importorskip("fastavro")

MILLIS, MICROS = ({"type": "long", "logicalType": f"timestamp-{unit}"} for unit in ("millis", "micros"))
AT = dt.datetime(2026, 1, 5, 9, 30)


def record(_name="R", _namespace=None, **fields):
    made = {
        "type": "record",
        "name": _name,
        "fields": [{"name": name, "type": each} for name, each in fields.items()],
    }
    return made if _namespace is None else {**made, "namespace": _namespace}


def written(schema, value) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def decoded(schema, column, *messages, **options):
    found = open_decoder("avro", specs(x=column), schema=schema, framing="none", **options)(list(messages))
    return found.bad or found.columns["x"].tolist()


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("at", record(at=["null", MILLIS, "string"])),
        ("b.at", record(a=record("Q", at=MILLIS), b="Q")),
        ("b.at", record(a=record("Q", at=MILLIS), b=["null", "Q"])),
        ("b.at", record(_namespace="n", a=record("Q", at=MILLIS), b=["null", "n.Q"])),
        ("b.0.at", record(a=record("Q", "m", at=MILLIS), b={"type": "array", "items": "m.Q"})),
        ("b.k.at", record(a=record("Q", "m", at=MILLIS), b={"type": "map", "values": "m.Q"})),
        ("at", {"type": "array", "items": record(at=MILLIS)}),
        ("a.at", record(a=[record("P", at=MILLIS), record("Q", at=["null", MILLIS])])),
    ],
)
def test_numbers_have_the_unit_of_the_schema_wherever_it_is_stated(path, schema):
    value = {"at": AT.replace(tzinfo=dt.UTC)}
    inner = {"0": [value], "k": {"k": value}}.get(path.split(".")[1] if "." in path else "", value)
    whole = {"a": value, "b": inner, **value}
    message = written(
        schema, [whole] if isinstance(schema["type"], str) and schema["type"] == "array" else whole
    )
    assert decoded(schema, ("M8[us]", {"source": path}), message) == [AT]


@pytest.mark.parametrize(
    ("path", "at"),
    [
        ("at", [MILLIS, {"type": "int", "logicalType": "date"}]),
        ("at", [MILLIS, "double"]),
        ("at.at", [record("P", at=MILLIS), record("Q", at=MICROS)]),
    ],
)
def test_numbers_of_several_units_need_one_that_is_stated(path, at):
    with pytest.raises(ConfigError, match=r"column 'x': numbers of .* by one schema; state unit"):
        decoded(record(at=at), ("M8[us]", {"source": path}))
    assert decoded(record(at=at), ("M8[us]", {"source": path, "unit": "ms"})) == []


def decimal(kind="bytes", **more):
    return {"type": kind, "logicalType": "decimal", "precision": 4, "scale": 2, **more}


def test_a_decimal_of_more_digits_than_its_schema_promises_is_exact():
    raw = written(record(x="bytes"), {"x": (123_456).to_bytes(4, "big")})
    assert decoded(record(x=decimal()), ("i8", {"decimals": 2}), raw) == [123_456]
    fixed = {"size": 16, "name": "F"}
    raw = (-(10**17) - 1).to_bytes(16, "big", signed=True)
    assert decoded(record(x=decimal("fixed", **fixed)), ("i8", {"decimals": 2}), raw) == [-(10**17) - 1]


def test_a_decimal_without_end_is_bad_at_once():
    raw = written(record(x="bytes"), {"x": b"\x7f" * 1_000_000})
    begin = time.monotonic()
    [reason] = decoded(record(x=decimal()), "f8", raw).values()
    assert reason == "avro: got a decimal of 1000000 bytes, expected 160 at most"
    assert time.monotonic() - begin < 30  # and not an hour


def test_a_decimal_of_no_scale_is_refused():
    with pytest.raises(ConfigError, match="the scale -2, expected 0 to 400"):
        decoded(record(x=decimal(scale=-2)), "f8")


def test_a_uuid_in_a_text_is_a_text():
    text = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
    schema = record(x={"type": "string", "logicalType": "uuid"})
    assert decoded(schema, "string", written(record(x="string"), {"x": text})) == [text]


def test_what_stands_for_absent_fields_is_not_looked_at():
    schema = record(x="double")
    schema["fields"][0]["default"] = "none"
    assert decoded(schema, "f8", struct.pack("<d", 1.5)) == [1.5]


INNER = record("Inner", "b", v="int", at=MILLIS)
SOURCE = record("Source", "b", inner="b.Inner", also="Inner")
OUTER = record("Outer", "a", source="b.Source", inner="b.Inner")


def test_types_of_other_schemas_are_found_in_the_registry():
    at = {"v": 7, "at": AT.replace(tzinfo=dt.UTC)}
    known = {}
    for each in (INNER, SOURCE):
        fastavro.parse_schema(each, known)
    out = io.BytesIO()
    value = {"source": {"inner": at, "also": at}, "inner": at}
    fastavro.schemaless_writer(out, fastavro.parse_schema(OUTER, known), value)
    columns = specs(v=("i8", {"source": "source.also.v"}), at=("M8[s]", {"source": "inner.at"}))
    subjects = {"b.Source": SOURCE, "in/ner": INNER}
    references = {7: ["b.Source", "in/ner"], "b.Source": ["in/ner"]}
    message = b"\0\0\0\0\7" + out.getvalue()
    with SchemaRegistry({7: OUTER}, subjects=subjects, references=references) as served:
        found = open_decoder("avro", columns, registry=served.url)([message] * 3)
        assert (found.columns["v"].tolist(), found.columns["at"].tolist()) == ([7] * 3, [AT] * 3)
        assert served.asked == [
            "/schemas/ids/7",
            "/subjects/b.Source/versions/1",
            "/subjects/in%2Fner/versions/1",
        ]


@pytest.mark.parametrize(
    ("references", "reason"),
    [
        ({7: ["gone"]}, "schema 7 of the registry refers to /subjects/gone/versions/1, which is not there"),
        ({7: ["a"], "a": ["b"], "b": ["a"]}, "schema 7 of the registry: not a schema of Avro"),
    ],
)
def test_references_that_lead_nowhere_are_told_of_each_message_and_asked_for_once(references, reason):
    subjects = {"a": record("A", b="B"), "b": record("B", a="A")}
    with SchemaRegistry({7: OUTER}, subjects=subjects, references=references) as served:
        decode = open_decoder("avro", specs(v="i8"), registry=served.url)
        found = decode([b"\0\0\0\0\7\0"] * 3)
        assert all(each.startswith(f"avro: {reason}") for each in found.bad.values())
        assert len(found.bad) == 3
        assert len(served.asked) == len(set(served.asked))
