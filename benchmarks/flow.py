"""What the flow costs: of an operator, and of a topic's records beside a bare loop and other libraries.

``costs``: processor time a message, of a chain's source and ``settle`` together, and of each operator on
top, with 1 to 1000 messages in a batch; beside a Python loop that calls the same function and RxPY's ``map``.

``kafka``: everybody reads a topic of small JSON records from its beginning, decodes each with msgspec, hands
batches of 500 to a sink and commits offsets five times a second. The rate is from the first batch to the last
commit. ``loop`` is a bare loop around ``consume(500)``, ``records`` is ours with a message for each record,
``columns`` with one for each run of them.
Each trial is a fresh process; its sum and the group's offsets are held to what they must be. The peers run in
environments of their own with the versions of ``flows/pins.py``, installed at first use; one that cannot be
had is left out.

``memory``: 50,000 records behind a sink that is slow, 256 kB of which may be in flight: bytes that were
fetched and not settled, at most, and the memory of the process. Records are small for a while and then large.

``keys``: how long 1,000 keys take whose messages take 2 ms each, with 8 workers; beside a hot key that has as
many messages as all of them together, which come first; and the same where its surplus may not leave memory.

Rounds are interleaved, because machines drift, and ratios are the median of the rounds' own.

    python benchmarks/flow.py [--parts costs kafka] [--kafka 127.0.0.1:9092] [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from environments import CACHE
from flows.contest import PEERS, ContestError, Results, contest, interpreters, topic
from flows.costs import BATCHES, Cost, costs
from flows.keys import hot_key
from flows.slow import slow, uneven

from tests.kafka.process import KafkaProcess, missing

SLOW_RECORDS = 50_000
SLOW_BYTES = 256_000
LOOP = "a loop that calls"


@contextmanager
def kafka(given: str | None) -> Iterator[str]:
    """Have a broker: the one that was given, or one for the benchmark alone."""
    if given:
        yield given
        return
    with KafkaProcess() as broker:
        yield broker.bootstrap


def show_costs(found: list[Cost]) -> None:
    """Print the medians and the least, and what a batch costs by itself."""
    print(f"{'µs a message, in batches of':28}" + "".join(f"{size:>16}" for size in BATCHES))
    loop = next(cost for cost in found if cost.name == LOOP)
    for cost in found:
        cells = "".join(f"{f'{cost.median(size):.2f} ({cost.least(size):.2f})':>16}" for size in BATCHES)
        print(
            f"{cost.name:28}{cells}   {cost.per_batch:5.1f} µs a batch, "
            f"{cost.per_message / loop.per_message:4.1f} loops"
        )


def rows_of(results: Results) -> list[dict[str, Any]]:
    """Return a row for each peer: medians over its rounds, and ratios to the loop and to ours."""
    rows = []
    for name, done in results.items():
        if isinstance(done, ContestError):
            rows.append({"peer": name, "failed": str(done)})
            continue
        row: dict[str, Any] = {
            "peer": name,
            "records_s": statistics.median(each.records_s for each in done),
            "best": max(each.records_s for each in done),
            "cpu_us": statistics.median(each.cpu_us for each in done),
        }
        for other in ("loop", "records", "columns"):
            theirs = results.get(other)
            if isinstance(theirs, list):
                pairs = list(zip(done, theirs, strict=False))
                row[f"of_{other}"] = statistics.median(a.records_s / b.records_s for a, b in pairs)
                row[f"cpu_of_{other}"] = statistics.median(b.cpu_us / a.cpu_us for a, b in pairs)
        rows.append(row)
    return rows


def show_rows(rows: list[dict[str, Any]]) -> None:
    others = ("loop", "records", "columns")
    print(
        f"{'peer':10}{'records/s':>12}{'best':>12}{'µs cpu':>8}" + "".join(f"{f'of {o}':>17}" for o in others)
    )
    for row in rows:
        if "failed" in row:
            print(f"{row['peer']:10} failed: {row['failed']}")
            continue
        ratios = [
            f"{row[f'of_{other}']:.2f} (cpu {row[f'cpu_of_{other}']:.2f})" if f"of_{other}" in row else "-"
            for other in others
        ]
        print(
            f"{row['peer']:10}{row['records_s']:12,.0f}{row['best']:12,.0f}{row['cpu_us']:8.2f}"
            + "".join(f"{ratio:>17}" for ratio in ratios)
        )


def show_memory(row: dict[str, Any]) -> None:
    print(
        f"fetched ahead: at most {row['ahead_bytes']:,} bytes of {row['max_bytes']:,}, "
        f"the largest fetch {row['largest_fetch_bytes']:,}"
    )
    memory = [f"{row[when]:.1f}" for when in ("first_mb", "last_mb", "most_mb")]
    print(f"memory: {memory[0]} MB at first, {memory[1]} at last, {memory[2]} at most")


def part_costs(options: argparse.Namespace) -> dict[str, Any]:
    found = costs(options.rounds)
    if not options.json:
        show_costs(found)
    return {cost.name: cost.rounds for cost in found}


def part_kafka(options: argparse.Namespace) -> list[dict[str, Any]]:
    pythons = interpreters(options.peers, options.environments)
    with kafka(options.kafka) as servers:
        rows = rows_of(contest(servers, options.records, options.rounds, pythons, options.timeout))
    if not options.json:
        show_rows(rows)
    return rows


def part_keys(options: argparse.Namespace) -> dict[str, float]:
    rounds = [hot_key() for _ in range(options.rounds)]
    row = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    if not options.json:
        print(
            f"1,000 keys: {row['seconds_alone']:.2f} s, beside a hot key {row['spilled']:.2f} times as long; "
            f"where its surplus stays in memory {row['in_memory']:.2f} times"
        )
    return row


def part_memory(options: argparse.Namespace) -> dict[str, Any]:
    with kafka(options.kafka) as servers:
        url = f"kafka://{servers}"
        with topic(url, SLOW_RECORDS, uneven) as name:
            row = {"max_bytes": SLOW_BYTES, **slow(url, name, SLOW_RECORDS, SLOW_BYTES)}
    if not options.json:
        show_memory(row)
    return row


PARTS = {"costs": part_costs, "kafka": part_kafka, "keys": part_keys, "memory": part_memory}
NEED_KAFKA = {"kafka", "memory"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--kafka", default=os.environ.get("STREAMZARR_TEST_KAFKA"), help="host:port")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS.keys() - {"pipeline"})
    parser.add_argument("--records", type=int, default=500_000, help="of the topic that all read")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--timeout", type=float, default=300, help="seconds, of one trial")
    parser.add_argument("--environments", type=Path, default=CACHE, help="of the peers; default: %(default)s")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    told: dict[str, Any] = {}
    for part in options.parts:
        if part in NEED_KAFKA and not options.kafka and (needed := missing()):
            print(f"{part} is left out: it needs {needed}, or --kafka host:port", file=sys.stderr)
        else:
            told[part] = PARTS[part](options)
    if options.json:
        print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
