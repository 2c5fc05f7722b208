"""Decoders to be fuzzed, with messages that they take."""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import json
from collections.abc import Callable
from decimal import Decimal

import msgspec
import zstandard

from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.decode.base import Decoder
from streamzarr.limits import Limits
from tests.support.decoding import specs

COLUMNS = specs(
    t=("M8[ns]", {"unit": "ms", "zone": "Europe/Oslo"}),
    p=("f4", {"missing": (-1, "NA")}),
    n=("u1", {"required": False, "fill": 7}),
    s=("S4", {"required": False}),
)
NESTED = specs(
    p=("i8", {"decimals": 2, "source": "q.0"}), s=("string", {"source": "$.s"}), n=("?", {"required": False})
)
POSITIONS = specs(p=("f8", {"source": "0"}), s=("U3", {"source": "1"}))
PACKED = specs(t="M8[ns]", p="f4", n="u1")
LIMITS = Limits(max_message_bytes=1 << 16, max_message_records=100, max_message_depth=16)

RECORDS = [
    {"t": 1577836800123, "p": 1.5, "n": 3, "s": "ab"},
    {"t": "2020-03-29T02:30:00.123456789", "p": "1.25", "n": None},
    {"t": "2020-03-29 02:30+01:00", "p": -1.0, "s": "NA", "more": [{"a": [1, "x", None, True]}]},
    {"t": 1577836800.123, "p": 7, "n": "255", "s": ""},
]
FIT = [RECORDS[0], {"t": "2020-07-01T12:00:00.5", "p": "1.25"}, {"t": 5.5, "p": 7, "n": "255", "s": "x"}]
DEEP = [
    {"s": "BTC", "d": [{"q": ["1.25", 3]}, {"q": [2, 3], "n": True}]},
    {"s": "x", "d": []},
    {"s": "", "d": [{"q": [0]}]},
]
LINES = [b"1577836800123,1.5,3,ab", b'2020-01-05,"1.25",,"a,b"', b"5,7,255,x\r\n6,7,1,y\r\n"]


def made(name: str, columns=COLUMNS, **options) -> Callable[[], Decoder]:
    return lambda: open_decoder(name, columns, limits=LIMITS, **options)


def encoded(records) -> list[bytes]:
    return [json.dumps(each).encode() for each in records]


DECODERS: dict[str, Callable[[], Decoder]] = {
    "json": made("json"),
    "json_exact": made("json", arrow=False),
    "json_path": made("json", NESTED, records="d"),
    "json_positions": made("json", POSITIONS, records="."),
    "json_lines": made("json", lines=True, unknown="error"),
    "json_gzip": made("json", compression="gzip"),
    "json_zstd": made("json", compression="zstd"),
    "json_lz4": made("json", compression="lz4"),
    "json_snappy": made("json", compression="snappy"),
    "msgpack": made("msgpack"),
    "msgpack_path": made("msgpack", NESTED, records="d"),
    "csv": made("csv"),
    "csv_exact": made("csv", arrow=False, unknown="error"),
    "struct": made("struct", PACKED),
}
SEEDS: dict[str, list[bytes]] = {
    "json": [*encoded(FIT), json.dumps(FIT).encode()],
    "json_exact": encoded(FIT),
    "json_path": encoded(DEEP),
    "json_positions": encoded([[[1.5, "ab"], [2.5, "c"]], [[1, ""]]]),
    "json_lines": [b"\n".join(encoded(FIT)), encoded(FIT)[0] + b"\n"],
    "json_gzip": [gzip.compress(each) for each in encoded(FIT)],
    "json_zstd": [zstandard.compress(each) for each in encoded(FIT)],
    "msgpack": [*map(msgspec.msgpack.encode, FIT), msgspec.msgpack.encode(FIT)],
    "msgpack_path": [*map(msgspec.msgpack.encode, DEEP)],
    "csv": LINES,
    "csv_exact": LINES,
    "struct": [bytes(range(13)), bytes(26)],
}


def _with_cramjam() -> None:
    import cramjam

    SEEDS["json_lz4"] = [bytes(cramjam.lz4.compress(each)) for each in encoded(FIT)]
    SEEDS["json_snappy"] = [bytes(cramjam.snappy.compress_raw(each)) for each in encoded(FIT)]


def _with_arrow() -> None:
    import pyarrow as pa

    tables = [
        pa.table({"t": pa.array([1, 2]), "p": pa.array([1.5, None]), "n": pa.array([3, None], "u1")}),
        pa.table(
            {"t": pa.array([0], pa.timestamp("us")), "p": ["2.5"], "s": pa.array(["ab"]).dictionary_encode()}
        ),
    ]
    SEEDS["arrow"] = []
    for table in tables:
        out = io.BytesIO()
        with pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table)
        SEEDS["arrow"].append(out.getvalue())
    columns = specs(
        t="M8[ns]",
        p=("f4", {"required": False}),
        n=("u1", {"required": False}),
        s=("S4", {"required": False}),
    )
    DECODERS["arrow"] = made("arrow", columns)


def _with_avro() -> None:
    import fastavro

    level = {
        "type": "record",
        "name": "Level",
        "fields": [{"name": "q", "type": {"type": "array", "items": "long"}}],
    }
    fields = [
        {"name": "t", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {
            "name": "p",
            "type": [
                "null",
                "string",
                {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
            ],
        },
        {"name": "n", "type": {"type": "enum", "name": "N", "symbols": ["true", "other"]}},
        {"name": "d", "type": {"type": "map", "values": level}},
        {"name": "z", "type": {"type": "fixed", "name": "Z", "size": 3}},
    ]
    schema = {"type": "record", "name": "R", "fields": fields}
    records = [
        {"t": 1577836800123456, "p": "1.25", "n": "true", "d": {"a": {"q": [1, 2]}}, "z": b"abc"},
        {"t": 0, "p": Decimal("2.50"), "n": "true", "d": {}, "z": b"abc"},
    ]
    SEEDS["avro"] = []
    for record in records:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
        SEEDS["avro"].append(out.getvalue())
    DECODERS["avro"] = made("avro", specs(t="M8[ns]", p="f4", n="?", z="S3"), schema=schema, framing="none")


def _with_protobuf() -> None:
    from google.protobuf import descriptor_pb2, timestamp_pb2

    set_, file = descriptor_pb2.FileDescriptorSet(), descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(set_.file.add())
    descriptor_pb2.DESCRIPTOR.CopyToProto(
        file
    )  # a file with a bit of everything, and types that hold themselves
    set_.file.append(file)
    columns = specs(
        p=("string", {"source": "name", "required": False}),
        n=("i4", {"source": "field.0.number", "required": False}),
        deep=("U9", {"source": "nested_type.0.nested_type.0.name", "required": False}),
    )
    name = "google.protobuf.DescriptorProto"
    DECODERS["protobuf"] = made("protobuf", columns, descriptor=set_.SerializeToString(), message=name)
    SEEDS["protobuf"] = [each.SerializeToString() for each in file.message_type[:4]]


PACKAGES = {
    "cramjam": _with_cramjam,
    "pyarrow": _with_arrow,
    "fastavro": _with_avro,
    "google.protobuf": _with_protobuf,
}
for package, add in PACKAGES.items():
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module(package)
        add()
for absent in DECODERS.keys() - SEEDS.keys():
    del DECODERS[absent]
