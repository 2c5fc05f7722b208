"""Topics into arrays: feeds of ours beside a bare loop, the codec alone, a loop by hand, and other libraries.

``rates``: everybody reads a topic of Kafka from its beginning and stores it, with zstd at level 1, in chunks
of 65,536 rows; four workloads:

    W1  ticks of 32 bytes, one a message        W3  256 packed ticks a message
    W2  the same as JSON                        W4  tiles of 256 KiB: decode, x * 2 + 1, encode, a chunk each

``loop`` is a bare loop around ``consume(1000)`` that counts bytes, ``codec`` decodes and encodes on two
threads, without Kafka and without files, ``by hand`` is a loop with zarr-python that consumes exactly to the
edge of each chunk; it and the peers write with zarr-python, by whole chunks. All but the codec fetch as ours
does: librdkafka's defaults alone make a consumer five times as slow. Each record's offset is stored, too.

Ours of W1 to W3 is a feed, whose rows and positions are committed together each second; that of W4 a chain
with three workers, in which a tile that comes again overwrites itself. The peers take a tenth of the topic;
they run in environments of their own with the versions of ``ingest/pins.py``, installed at first use, and one
that cannot be had is left out.

The rate is from the first batch to the last commit. Each trial is a fresh process, and what it stored is read
back. Rounds are interleaved, because machines drift, and ratios are the median of the rounds' own: by the
clock, and in brackets by processor time of all threads of the process, for machines that are busy.

``latency``: 5,000 records a second; from before a record is sent until the commit that made it visible has
returned, with commits each 20 ms, 100 ms and second. ``memory``: of a feed that has so many for `--seconds`.

    python benchmarks/feeds.py [--parts rates latency] [--kafka 127.0.0.1:9092] [--scale 0.25] [--json]
    python benchmarks/feeds.py --parts memory --seconds 600
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), str(ROOT / "benchmarks")]
)  # of processes that we start

from environments import CACHE  # noqa: E402
from flow import kafka  # noqa: E402
from ingest.contest import CONTESTANTS, ContestError, Results, contest, interpreters  # noqa: E402
from ingest.steady import steady  # noqa: E402
from ingest.workloads import WORKLOADS  # noqa: E402

from tests.kafka.process import missing  # noqa: E402

EVERY = (0.02, 0.1, 1.0)
"""Seconds between commits."""
BESIDE = ("loop", "codec", "by hand")


def rows_of(results: Results) -> list[dict[str, Any]]:
    """Return a row for each contestant: medians over its rounds, and ratios to some of the others."""
    rows = []
    for name, done in results.items():
        if isinstance(done, ContestError):
            rows.append({"name": name, "failed": str(done)})
            continue
        row: dict[str, Any] = {
            "name": name,
            "rows_s": statistics.median(each.rows_s for each in done),
            "cpu_us": statistics.median(each.cpu_us for each in done),
        }
        for other in BESIDE:
            theirs = results.get(other)
            if isinstance(theirs, list) and other != name:
                pairs = list(zip(done, theirs, strict=False))
                row[f"of {other}"] = statistics.median(a.rows_s / b.rows_s for a, b in pairs)
                row[f"cpu of {other}"] = statistics.median(b.cpu_us / a.cpu_us for a, b in pairs)
        rows.append(row)
    return rows


def show_rates(title: str, rows: list[dict[str, Any]]) -> None:
    """Print a table of one workload."""
    print(f"\n{title}\n{'':14}{'rows/s':>12}{'µs cpu':>10}" + "".join(f"{f'of {o}':>18}" for o in BESIDE))
    for row in rows:
        if "failed" in row:
            print(f"{row['name']:14} failed: {row['failed']}")
            continue
        cells = [
            f"{row[f'of {other}']:.2f} ({row[f'cpu of {other}']:.2f})" if f"of {other}" in row else "-"
            for other in BESIDE
        ]
        print(
            f"{row['name']:14}{row['rows_s']:12,.0f}{row['cpu_us']:10.3f}"
            + "".join(f"{each:>18}" for each in cells),
            flush=True,
        )


def part_rates(options: argparse.Namespace, servers: str) -> dict[str, Any]:
    pythons = interpreters(options.contestants, options.environments)
    told = {}
    for name in options.workloads:
        workload = WORKLOADS[name]
        messages = int(workload.messages * options.scale)
        results = contest(
            servers, workload, messages, options.rounds, pythons, options.folder, options.timeout
        )
        told[name] = rows_of(results)
        if not options.json:
            show_rates(f"{name}: {workload.title}; {messages * workload.rows:,} rows", told[name])
    return told


def part_latency(options: argparse.Namespace, servers: str) -> list[dict[str, float]]:
    told = []
    for every in EVERY:
        row = steady(servers, 12.0, every, options.folder)
        told.append(row)
        if not options.json:
            print(
                f"commits each {1e3 * every:5.0f} ms: visible after {row['p50']:6.0f} ms (p50), "
                f"{row['p99']:6.0f} ms (p99), {row['most']:6.0f} ms at most; "
                f"{row['commits_s']:5.1f} commits/s, {row['cpu']:.2f} s of processor time a second",
                flush=True,
            )
    return told


def part_memory(options: argparse.Namespace, servers: str) -> dict[str, float]:
    row = steady(servers, options.seconds, 1.0, options.folder)
    if not options.json:
        print(
            f"memory over {options.seconds:.0f} s: {row['first_mb']:.1f} MB at first, "
            f"{row['half_mb']:.1f} at half time, {row['last_mb']:.1f} at last, {row['most_mb']:.1f} at most"
        )
    return row


PARTS = {"rates": part_rates, "latency": part_latency, "memory": part_memory}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--kafka", default=os.environ.get("STREAMZARR_TEST_KAFKA"), help="host:port")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--scale", type=float, default=1.0, help="of the topics; 1: two million ticks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="of `memory`")
    parser.add_argument("--timeout", type=float, default=300, help="seconds, of one trial")
    parser.add_argument(
        "--folder", type=Path, default=Path("/dev/shm") if os.path.isdir("/dev/shm") else None
    )
    parser.add_argument("--environments", type=Path, default=CACHE, help="of the peers; default: %(default)s")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.kafka and (needed := missing()):
        parser.error(f"it needs {needed}, or --kafka host:port")
    with kafka(options.kafka) as servers:
        told = {part: PARTS[part](options, servers) for part in options.parts}
    if options.json:
        print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
