"""Decoders against the bare codec that each is built on: what do checks, reasons and columns cost?

The bare codec gets the same messages and does the least with them: one read of all joined lines by pyarrow,
one ``msgspec`` decode a message, one ``numpy.frombuffer``; it finds no bad message, nor one that is two.
Rounds are interleaved, because machines drift, and processor time counts: ratios say more than rates. W1 to
W4 are workloads of feeds, as far as they concern decoding: packed ticks and ticks as JSON, one a message;
256 packed ticks a message; tiles of 256 KiB.

    python benchmarks/decode.py [--messages 50000] [--rounds 5] [--only json] [--json]
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode import open_decoder
from streamzarr.limits import Limits

TICK = np.dtype([("ts", "<i8"), ("bid", "<f8"), ("ask", "<f8"), ("size", "<i8")])
COLUMNS = {
    "ts": ColumnSpec("ts", "M8[ns]", unit="ns"),
    "bid": ColumnSpec("bid", "f8"),
    "ask": ColumnSpec("ask", "f8"),
    "size": ColumnSpec("size", "i8"),
}
TILE = 256 << 10


class Case(NamedTuple):
    """One workload: the same messages for the bare codec and for the decoder."""

    name: str
    rows: int
    messages: Sequence[bytes]
    bare: Callable[[Sequence[bytes]], Any]
    decode: Callable[[Sequence[bytes]], Any]


def ticks(count: int) -> np.ndarray:
    chance = np.random.default_rng(1)
    rows = np.zeros(count, TICK)
    rows["ts"] = 1_767_605_400_000_000_000 + np.cumsum(chance.integers(1, 10**7, count))
    rows["bid"] = np.round(1.1 + np.cumsum(chance.normal(0, 1e-5, count)), 5)
    rows["ask"] = np.round(rows["bid"] + 0.0001, 5)
    rows["size"] = chance.integers(1, 10**6, count)
    return rows


def by_structs(kind: Any) -> Callable[[Sequence[bytes]], Any]:
    struct = msgspec.defstruct("Tick", [("ts", int), ("bid", float), ("ask", float), ("size", int)], gc=False)
    decoder = kind.Decoder(struct)

    def bare(messages: Sequence[bytes]) -> Any:
        found = list(map(decoder.decode, messages))
        return [np.array([getattr(each, name) for each in found]) for name in TICK.names]

    return bare


def by_pyarrow_json(messages: Sequence[bytes]) -> Any:
    import pyarrow as pa
    import pyarrow.json as paj

    data = b"\n".join(messages)
    schema = pa.schema(
        [("ts", pa.int64()), ("bid", pa.float64()), ("ask", pa.float64()), ("size", pa.int64())]
    )
    table = paj.read_json(
        pa.BufferReader(data),
        read_options=paj.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=paj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )
    return [column.to_numpy() for column in table.columns]


def by_pyarrow_csv(messages: Sequence[bytes]) -> Any:
    import pyarrow as pa
    import pyarrow.csv as pac

    data = b"\n".join(messages)
    table = pac.read_csv(
        pa.BufferReader(data),
        read_options=pac.ReadOptions(
            use_threads=False, block_size=len(data) + 1, column_names=list(TICK.names or ())
        ),
    )
    return [column.to_numpy() for column in table.columns]


def by_csv_module(messages: Sequence[bytes]) -> Any:
    import csv

    rows = csv.reader(b"\n".join(messages).decode().split("\n"))
    return [np.array(column, "f8") for column in zip(*rows, strict=True)]


def by_frombuffer(dtype: Any) -> Callable[[Sequence[bytes]], Any]:
    return lambda messages: np.frombuffer(b"".join(messages), dtype)


def by_fastavro(schema: Any) -> Callable[[Sequence[bytes]], Any]:
    import fastavro

    parsed = fastavro.parse_schema(schema)

    def bare(messages: Sequence[bytes]) -> Any:
        found = [fastavro.schemaless_reader(io.BytesIO(each), parsed, None) for each in messages]
        return [np.array([each[name] for each in found]) for name in TICK.names or ()]

    return bare


def by_ipc(messages: Sequence[bytes]) -> Any:
    import pyarrow as pa

    tables = [pa.ipc.open_stream(pa.BufferReader(each)).read_all() for each in messages]
    return [column.to_numpy() for column in pa.concat_tables(tables).columns]


def cases(count: int) -> list[Case]:
    rows = ticks(count)
    objects = [dict(zip(TICK.names or (), row, strict=True)) for row in rows.tolist()]
    as_json = [msgspec.json.encode(each) for each in objects]
    as_msgpack = [msgspec.msgpack.encode(each) for each in objects]
    as_csv = [b"%d,%r,%r,%d" % row for row in rows.tolist()]
    batches = [rows[at : at + 256].tobytes() for at in range(0, count, 256)]
    tiles = [bytes(TILE)] * 64
    found = [
        Case("W2 json, msgspec alone", count, as_json, by_structs(msgspec.json), opened("json", arrow=False)),
        Case("msgpack", count, as_msgpack, by_structs(msgspec.msgpack), opened("msgpack")),
        Case("csv, csv module alone", count, as_csv, by_csv_module, opened("csv", arrow=False)),
        Case(
            "W1 struct, one a message", count, [row.tobytes() for row in rows], by_frombuffer(TICK), packed()
        ),
        Case("W3 struct, 256 a message", count, batches, by_frombuffer(TICK), packed()),
        Case("W4 tiles of 256 KiB", len(tiles), tiles, by_frombuffer(f"V{TILE}"), opened_tiles()),
    ]
    if importlib.util.find_spec("pyarrow"):
        found += with_pyarrow(rows, as_json, as_csv)
    if importlib.util.find_spec("fastavro"):
        found.append(with_fastavro(objects))
    return found


def opened(name: str, **options: Any) -> Any:
    return open_decoder(name, COLUMNS, **options)


def packed() -> Any:
    return opened("struct", dtype=TICK)


def opened_tiles() -> Any:
    """A tile is one value of a struct: as many bytes as it has."""
    column = {"tile": ColumnSpec("tile", f"S{TILE}")}
    return open_decoder("struct", column, limits=Limits(max_message_bytes=1 << 30))


def with_pyarrow(rows: np.ndarray, as_json: list[bytes], as_csv: list[bytes]) -> list[Case]:
    import pyarrow as pa

    table = pa.table({name: rows[name] for name in TICK.names or ()})
    streams = []
    for at in range(0, len(rows), 256):
        out = io.BytesIO()
        with pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table.slice(at, 256))
        streams.append(out.getvalue())
    arrays = [b"[" + b",".join(as_json[at : at + 256]) + b"]" for at in range(0, len(rows), 256)]
    return [
        Case("W2 json", len(rows), as_json, by_pyarrow_json, opened("json")),
        Case(
            "json, 256 a message",
            len(rows),
            arrays,
            lambda messages: by_pyarrow_json(as_json),
            opened("json"),
        ),
        Case("csv", len(rows), as_csv, by_pyarrow_csv, opened("csv")),
        Case("arrow, 256 a message", len(rows), streams, by_ipc, opened("arrow")),
    ]


def with_fastavro(objects: list[dict[str, Any]]) -> Case:
    import fastavro

    kinds = {"ts": "long", "bid": "double", "ask": "double", "size": "long"}
    fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
    schema = {"type": "record", "name": "Tick", "fields": fields}
    messages = []
    for each in objects:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(schema), each)
        messages.append(out.getvalue())
    return Case(
        "avro", len(objects), messages, by_fastavro(schema), opened("avro", schema=schema, framing="none")
    )


def seconds(work: Callable[[Sequence[bytes]], Any], messages: Sequence[bytes]) -> float:
    began = time.process_time()
    work(messages)
    return time.process_time() - began


def measure(case: Case, rounds: int) -> dict[str, Any]:
    decoded = case.decode(case.messages)
    assert not decoded.bad
    assert decoded.rows == case.rows
    case.bare(case.messages)
    pairs = [(seconds(case.bare, case.messages), seconds(case.decode, case.messages)) for _ in range(rounds)]
    bare, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(bare / ours for bare, ours in pairs)
    return {
        "case": case.name,
        "bare": round(case.rows / bare),
        "ours": round(case.rows / ours),
        "ratio": round(ratio, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = [measure(case, options.rounds) for case in cases(options.messages) if options.only in case.name]
    if options.json:
        print(json.dumps(found))
        return
    print("| case | bare codec, rows/s | decoder, rows/s | ratio |\n|---|---|---|---|")
    for each in found:
        print(f"| {each['case']} | {each['bare']:,} | {each['ours']:,} | {each['ratio']:.2f} |")


if __name__ == "__main__":
    main()
