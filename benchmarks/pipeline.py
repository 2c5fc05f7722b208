"""What a pipeline costs, and how it does on Kafka beside other libraries.

``overhead``: handlers that do nothing, an iterable as the source: processor time and clock for a message, and
for a batch on top.

``kafka``: as in ``flow.py``: everybody reads a topic of small JSON records from its beginning, decodes each
by a handler of single messages, hands batches of 500 to a sink and commits five times a second. ``loop`` is
the least that can be done, ``pipeline`` is ours. Ratios are ours to theirs, of the same round, by the clock
and by processor time; then comes how old records are when their batch is handled, at half of the rate that
each has just shown.

Broadway itself is not among them: Debian has Elixir, but what runs on it comes from a registry of its own.

    python benchmarks/pipeline.py [--parts overhead kafka] [--kafka 127.0.0.1:9092] [--rounds 3] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from environments import CACHE
from flow import kafka
from flows.contest import PEERS, ContestError, Result, contest, interpreters
from flows.latency import latency

import streamzarr as sz
from streamzarr import flow
from tests.kafka.process import missing

BESIDE = ("loop", "pipeline", "arroyo", "quix", "bytewax")
FEW, MANY = 10, 500
"""Messages in a batch."""


class Unbatched(sz.Pipeline):
    """Does nothing, one by one."""

    processors = sz.Processors(concurrency=2, max_demand=5000)


def batched(size: int) -> type[sz.Pipeline]:
    """Return a pipeline that does nothing with batches."""
    batchers = {"default": sz.Batcher(size=size, concurrency=2)}
    return type("Batched", (Unbatched,), {"batchers": batchers})


def cost(pipeline: type[sz.Pipeline], count: int, rounds: int) -> tuple[float, float]:
    """Return the least clock and processor time of a message, in µs."""
    found = []
    for _ in range(rounds):
        clock, processor = time.perf_counter(), time.process_time()
        report = pipeline.run(source=lambda demand: flow.from_iterable(range(count), demand))
        assert report.ok == count
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        found.append((clock / count * 1e6, processor / count * 1e6))
    return min(clock for clock, _ in found), min(processor for _, processor in found)


def part_overhead(options: argparse.Namespace) -> dict[str, Any]:
    plain = cost(Unbatched, options.messages, options.rounds)
    few = cost(batched(FEW), options.messages, options.rounds)
    many = cost(batched(MANY), options.messages, options.rounds)
    a_batch = [(a - b) / (1 / FEW - 1 / MANY) for a, b in zip(few, many, strict=True)]
    row = {"message": plain, f"batches_of_{FEW}": few, f"batches_of_{MANY}": many, "batch": a_batch}
    if not options.json:
        for name, (clock, processor) in row.items():
            print(f"{name:16}{clock:8.2f} µs by the clock{processor:8.2f} µs of processors")
    return row


def row_of(done: list[Result] | ContestError, ours: list[Result] | ContestError) -> dict[str, Any]:
    """Return medians over the rounds, and how many times as much ours does in the same ones."""
    if isinstance(done, ContestError):
        return {"failed": str(done)}
    row: dict[str, Any] = {
        "records_s": statistics.median(each.records_s for each in done),
        "cpu_us": statistics.median(each.cpu_us for each in done),
    }
    if isinstance(ours, list):
        pairs = list(zip(ours, done, strict=False))
        row["ours_by_clock"] = statistics.median(a.records_s / b.records_s for a, b in pairs)
        row["ours_by_cpu"] = statistics.median(b.cpu_us / a.cpu_us for a, b in pairs)
    return row


def part_kafka(options: argparse.Namespace) -> dict[str, Any]:
    pythons = interpreters(options.peers, options.environments)
    with kafka(options.kafka) as servers:
        results = contest(servers, options.records, options.rounds, pythons, options.timeout)
        rows = {name: row_of(done, results.get("pipeline", [])) for name, done in results.items()}
        for name, row in rows.items():
            if "failed" not in row and options.seconds:
                rate = row["records_s"] / 2
                try:
                    found = latency(
                        servers, PEERS[name], pythons[name], rate, options.seconds, options.timeout
                    )
                    row |= {"half_load_s": rate, "p50_ms": found.p50 * 1e3, "p99_ms": found.p99 * 1e3}
                except ContestError as error:
                    row["latency_failed"] = str(error)
    if not options.json:
        show(rows)
    return rows


def show(rows: dict[str, dict[str, Any]]) -> None:
    columns = ("records_s", "cpu_us", "ours_by_clock", "ours_by_cpu", "half_load_s", "p50_ms", "p99_ms")
    print(f"{'':10}" + "".join(f"{name:>15}" for name in columns))
    for peer, row in rows.items():
        cells = "".join(f"{row[name]:15,.2f}" if name in row else f"{'-':>15}" for name in columns)
        print(f"{peer:10}{cells} {row.get('failed', row.get('latency_failed', ''))}")


PARTS = {"overhead": part_overhead, "kafka": part_kafka}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--messages", type=int, default=200_000, help="of the part overhead")
    parser.add_argument("--kafka", default=os.environ.get("STREAMZARR_TEST_KAFKA"), help="host:port")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(BESIDE))
    parser.add_argument("--records", type=int, default=300_000, help="of the topic that all read")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of half load; 0: no latencies")
    parser.add_argument("--timeout", type=float, default=300, help="seconds, of one trial")
    parser.add_argument("--environments", type=Path, default=CACHE, help="of the peers; default: %(default)s")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    told: dict[str, Any] = {}
    for part in options.parts:
        if part == "kafka" and not options.kafka and (needed := missing()):
            print(f"{part} is left out: it needs {needed}, or --kafka host:port", file=sys.stderr)
        else:
            told[part] = PARTS[part](options)
    if options.json:
        print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
