"""``streamzarr stream``: arrays that grow, looked at while they do."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from streamzarr.cli.one_stream import of_one_stream
from streamzarr.cli.options import Size, examples, json_option, prefix_option
from streamzarr.cli.output import age, counted, print_facts, print_json, print_line
from streamzarr.cli.progress import showing
from streamzarr.cli.rows import print_rows, text_of
from streamzarr.redact import redacted
from streamzarr.runtime import SYSTEM

if TYPE_CHECKING:
    from streamzarr.stream import Checked, Snapshot


@click.group()
def stream() -> None:
    """Look at and keep streams: groups of arrays to which one writer appends rows.

    No command disturbs the writer, and a reader sees committed rows only.
    """


@stream.command(
    epilog=examples("streamzarr stream info lab.zarr", "streamzarr stream info --json lab.zarr | jq .rows")
)
@click.argument("url")
@json_option
@of_one_stream
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
@of_one_stream
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


@stream.command(
    epilog=examples(
        "streamzarr stream check lab.zarr", "streamzarr stream check --json lab.zarr | jq .findings[].key"
    )
)
@click.argument("url")
@json_option
@of_one_stream
def check(url: str, as_json: bool) -> None:
    """Verify every promise on the stream at URL, and say what a repair would do.

    Reads all rows and changes nothing. The exit code is 1 if something is found that does harm.
    """
    from streamzarr.stream import check as find

    with showing("chunks") as show:
        found = find(url, progress=show)
    _print_findings(found, as_json, "repair")
    if not found.is_sound:
        raise SystemExit(1)


@stream.command(
    epilog=examples("streamzarr stream repair lab.zarr", "streamzarr stream repair --json lab.zarr")
)
@click.argument("url")
@json_option
@of_one_stream
def repair(url: str, as_json: bool) -> None:
    """Mend what can be mended in the stream at URL without losing anything.

    The exit code is 1 if something is left that does harm.
    """
    from streamzarr.stream import repair as mend

    with showing("chunks") as show:
        found = mend(url, progress=show)
    _print_findings(found, as_json, "repaired")
    if any(not each.kind.harmless and each.kind.repair is None for each in found.findings):
        raise SystemExit(1)


@stream.command(
    epilog=examples(
        "streamzarr stream retain --rows 1000000 lab.zarr",
        "streamzarr stream retain --since time=2026-01-05 lab.zarr",
        "streamzarr stream retain --bytes 10GB --json lab.zarr",
    )
)
@click.argument("url")
@click.option("--rows", type=click.IntRange(min=0), help="Keep at least so many of the last rows.")
@click.option("--since", metavar="FIELD=VALUE", help="Keep rows from a value of a sorted field on.")
@click.option("--bytes", "max_bytes", type=Size(), help="Keep what takes at most so much in the store.")
@json_option
@of_one_stream
def retain(url: str, rows: int | None, since: str | None, max_bytes: int | None, as_json: bool) -> None:
    """Give up rows at the front of the stream at URL, and delete their chunks.

    Expects one of --rows, --since and --bytes. Whole chunks go; the last chunk of each field stays.
    """
    from streamzarr.stream import retain as give_up

    if sum(each is not None for each in (rows, since, max_bytes)) != 1:
        raise click.UsageError("expected exactly one of --rows, --since and --bytes")
    value = None if since is None else _value(url, since)
    try:
        done = give_up(url, rows=rows, since=value, max_bytes=max_bytes)
    except (TypeError, ValueError) as error:  # of the value
        raise click.UsageError(str(error)) from error
    if as_json:
        print_json(done)
    else:
        print_line(f"first row {done.first_row}, was {done.before}; {counted(done.chunks, 'chunk')} deleted")


@stream.command(
    epilog=examples(
        "streamzarr stream compact lab.zarr",
        "streamzarr stream compact --chunks 256 --delete --json lab.zarr",
        "streamzarr stream compact --broker kafka://localhost:9092 s3://lab/feed.zarr",
    )
)
@click.argument("url")
@click.option(
    "--chunks",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Chunks of rows in a shard; only the first time counts.",
)
@click.option("--delete", is_flag=True, help="Delete chunks that are in shards; other libraries look there.")
@click.option("--broker", metavar="URL", help="Share the work out to the workers of this broker, as a job.")
@click.option("--field", "fields", multiple=True, metavar="NAME", help="A job: only this field; repeatable.")
@prefix_option
@json_option
@of_one_stream
def compact(
    url: str,
    chunks: int,
    delete: bool,
    broker: str | None,
    fields: tuple[str, ...],
    prefix: str,
    as_json: bool,
) -> None:
    """Copy full chunks of the stream at URL into large shards, from which they are then read.

    With --broker it is a job, as those of `streamzarr job submit`, with their exit codes.
    """
    if broker is not None:
        from streamzarr.cli.submit import follow
        from streamzarr.jobs import compact_stream

        handle = compact_stream(
            url, broker=broker, chunks=chunks, delete=delete, fields=fields or None, prefix=prefix
        )
        follow(handle, broker=broker, prefix=prefix, as_json=as_json)
        return
    if fields:
        raise click.UsageError("--field is for jobs; give a --broker as well, or compact all fields")
    from streamzarr.stream import compact as gather

    with showing("shards") as show:
        done = gather(url, chunks=chunks, delete=delete, progress=show)
    if as_json:
        print_json(done)
        return
    print_line(f"{counted(done.shards, 'shard')} written, {counted(done.chunks, 'chunk')} deleted")
    for name, rows in done.sealed.items():
        print_line(f"  {name}  {rows} rows in shards")


def _value(url: str, text: str) -> dict[str, Any]:
    """Return what --since says, for a field of times as text."""
    from streamzarr.stream import open_stream

    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise click.UsageError(f"--since is {text!r}, expected FIELD=VALUE")
    if open_stream(url)[name].dtype.kind not in "mM":
        for number in (int, float):
            with suppress(ValueError):
                return {name: number(value)}
    return {name: value}


def _print_findings(found: Checked, as_json: bool, word: str) -> None:
    if as_json:
        findings = [
            {
                "kind": each.kind.name.lower(),
                "key": each.key,
                "array": each.array,
                "what": each.what,
                "harmless": each.kind.harmless,
                "repair": each.kind.repair,
            }
            for each in found.findings
        ]
        facts = {"url": redacted(found.url), "first_row": found.first_row, "rows": found.rows}
        print_json({**facts, "sound": found.is_sound, "findings": findings})
        return
    count = counted(len(found.findings), "finding")
    print_line(f"{redacted(found.url)}: rows {found.first_row} to {found.rows}, {count}")
    for each in found.findings:
        harm = "" if each.kind.harmless else "!"
        print_line(f"{harm:1} {each}")
        print_line(f"    {word}: {each.kind.repair or 'nothing'}")


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
