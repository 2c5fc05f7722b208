"""``streamzarr stream``: arrays that grow, looked at while they do."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from streamzarr.cli.options import examples, json_option
from streamzarr.cli.output import age, print_facts, print_json, print_line
from streamzarr.cli.rows import print_rows, text_of
from streamzarr.runtime import SYSTEM

if TYPE_CHECKING:
    from streamzarr.stream import Snapshot


@click.group()
def stream() -> None:
    """Look at streams: groups of arrays to which one writer appends rows.

    A reader never disturbs the writer, and sees committed rows only.
    """


@stream.command(
    epilog=examples("streamzarr stream info lab.zarr", "streamzarr stream info --json lab.zarr | jq .rows")
)
@click.argument("url")
@json_option
def info(url: str, as_json: bool) -> None:
    """Say what the stream at URL has, and who wrote to it last."""
    from streamzarr.stream import open_stream

    facts = _facts(open_stream(url))
    if as_json:
        print_json(facts)
        return
    seconds = SYSTEM.wall_ns() / 1e9 - facts["time_ns"] / 1e9
    print_facts(
        [
            ("url", facts["url"]),
            ("rows", f"{facts['first_row']} to {facts['rows']}" if facts["first_row"] else facts["rows"]),
            ("commit", f"number {facts['seq']}, {age(seconds)} ago, by {facts['writer']}"),
            ("epoch", facts["epoch"]),
            ("source", text_of(facts["source"])),
            ("position", text_of(facts["position"])),
        ]
    )
    for name, field in facts["fields"].items():
        sort, since = ", sorted" if field["sorted"] else "", field["since"]
        late = f", since row {since}" if since else ""
        print_line(f"  {name}  {_type(field)}, {field['chunk_rows']} rows in a chunk{sort}{late}")


@stream.command(
    epilog=examples(
        "streamzarr stream tail -n 5 lab.zarr",
        "streamzarr stream tail --follow --json --field time --field price lab.zarr | jq .price",
    )
)
@click.argument("url")
@click.option("-n", "count", type=click.IntRange(min=0), default=10, show_default=True, help="Last rows.")
@click.option("-f", "--follow", is_flag=True, help="Go on with each commit, until Ctrl-C.")
@click.option("--field", "fields", multiple=True, metavar="NAME", help="Only this field; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document a line, for scripts.")
def tail(url: str, count: int, follow: bool, fields: tuple[str, ...], as_json: bool) -> None:
    """Print the last rows of the stream at URL."""
    from streamzarr.stream import open_stream

    snapshot = open_stream(url)
    for name in fields:
        snapshot[name]  # raises if there is none
    start = max(snapshot.first_row, snapshot.rows - count)
    with suppress(KeyboardInterrupt):  # the end that was asked for
        if not follow:
            print_rows(snapshot.between(start, snapshot.rows), fields, as_json)
            return
        for rows in snapshot.follow(start):
            print_rows(rows, fields, as_json)


def _facts(snapshot: Snapshot) -> dict[str, Any]:
    record = snapshot.record
    return {
        "url": snapshot.url,
        "rows": record.rows,
        "first_row": record.first_row,
        "seq": record.seq,
        "epoch": record.epoch,
        "time_ns": record.time_ns,
        "writer": record.writer,
        "source": record.source,
        "position": record.position,
        "fields": {name: _field_facts(snapshot, name) for name in snapshot},
    }


def _field_facts(snapshot: Snapshot, name: str) -> dict[str, Any]:
    from streamzarr.stream.schema import is_sorted

    field = snapshot[name]
    return {
        "dtype": str(field.dtype),
        "shape": list(field.shape[1:]),
        "chunk_rows": field.chunks[0],
        "sorted": is_sorted(snapshot.document.fields[name]),
        "since": snapshot.record.since.get(name, 0),
    }


def _type(field: dict[str, Any]) -> str:
    return f"{tuple(field['shape'])} {field['dtype']}" if field["shape"] else field["dtype"]
