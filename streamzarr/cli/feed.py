"""``streamzarr feed``: topics that become arrays, looked at while they do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from streamzarr.cli.failures import Failure
from streamzarr.cli.options import examples, json_option, open_existing
from streamzarr.cli.output import age, counted, print_facts, print_json, print_line, print_table
from streamzarr.cli.progress import showing
from streamzarr.cli.rows import print_rows
from streamzarr.hints import DEFAULT_BROKER
from streamzarr.runtime import SYSTEM

if TYPE_CHECKING:
    from streamzarr.feeds.found import PartitionCheck
    from streamzarr.feeds.status import FeedStatus
    from streamzarr.queue import Broker

broker_option = click.option(
    "--broker",
    metavar="URL",
    envvar="STREAMZARR_BROKER",
    show_envvar=True,
    help="Where the topics are; what the target says without it, which has no password.",
)


@click.group()
def feed() -> None:
    """Look at feeds: topics whose records become rows of arrays.

    TARGET is the URL that the feed's configuration names. Nothing here disturbs the feed.
    """


@feed.command(
    epilog=examples("streamzarr feed status fx.zarr", "streamzarr feed status --json fx.zarr | jq .lag")
)
@click.argument("target")
@broker_option
@json_option
def status(target: str, broker: str | None, as_json: bool) -> None:
    """Say how far the feed into TARGET is: rows, lag, commits, write amplification, dead letters."""
    from streamzarr.feeds.status import feed_status

    with _broker(broker) as opened:
        found = feed_status(target, opened)
    if as_json:
        print_json(_facts(found))
        return
    now = SYSTEM.wall_ns() / 1e9
    late = bool(found.replayed)
    print_facts(
        [
            ("target", found.url),
            ("broker", found.broker),
            ("group", f"{found.group}, {counted(found.members, 'member')}"),
            ("rows", f"{found.rows} and {found.replayed} by a replay" if found.replayed else found.rows),
            ("lag", _lag(found)),
            ("dead", _dead(found)),
        ]
    )
    click.echo()
    print_table(
        (
            *("partition", "rows", *(["replayed"] if late else []), "position", "lag", "commits"),
            *("rows/commit", "written", "last commit", "epoch"),
        ),
        [
            (
                each.name,
                each.rows,
                *([each.replayed] if late else []),
                each.position,
                "?" if each.lag is None else each.lag,
                each.commits,
                round(each.rows_a_commit, 1),
                f"about {each.write_amplification:.1f} x",
                f"{age(now - each.committed)} ago",
                each.epoch,
            )
            for each in found.partitions
        ],
        empty="no partition yet",
    )
    for each in found.partitions:
        if each.remark:
            print_line(f"{each.name}  {each.remark}")
    if found.targets:
        click.echo()
        print_table(
            ("target", "partitions", "rows", "last commit"),
            [
                (each.name, each.partitions, each.rows, f"{age(now - each.committed)} ago")
                for each in found.targets
            ],
            empty="no target yet",
        )


@feed.command(epilog=examples("streamzarr feed check fx.zarr"))
@click.argument("target")
@broker_option
@json_option
def check(target: str, broker: str | None, as_json: bool) -> None:
    """Compare the rows in TARGET with the records of its topics: each exactly once, in order.

    A record is there if it has rows, or a dead letter. Records that the broker has given up are not looked
    for. Exit code 2 when one is missing, twice, or out of order, or the topic is another one now.
    """
    from streamzarr.feeds.check import check_feed

    with _broker(broker) as opened, showing("offsets") as show:
        found = check_feed(target, opened, progress=show)
    if as_json:
        print_json([{**_plain(each), "ok": each.ok} for each in found])
    else:
        for each in found:
            print_line(f"{each.name}  {_finding(each)}")
    if changed := [each.name for each in found if each.changed]:
        raise Failure(f"{target}: {', '.join(changed)}: the rows come from another topic than is there now")
    if bad := [each.name for each in found if not each.ok]:
        raise Failure(f"{target}: {', '.join(bad)}: not each record is there once, in order")
    if not as_json:
        records = counted(sum(each.records for each in found), "record")
        click.echo(f"each of {records} is there exactly once, in order")


@feed.command(
    epilog=examples(
        "streamzarr feed follow fx.zarr",
        "streamzarr feed follow fx.zarr --partition p00000 --field bid --json | jq .bid",
    )
)
@click.argument("target")
@click.option("--partition", metavar="NAME", help="Only this one, such as p00000.")
@click.option("-n", "count", type=click.IntRange(min=0), default=10, show_default=True, help="Last rows.")
@click.option("--field", "fields", multiple=True, metavar="NAME", help="Only this field; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document a line, for scripts.")
def follow(target: str, partition: str | None, count: int, fields: tuple[str, ...], as_json: bool) -> None:
    """Print rows of the feed into TARGET as they are committed, until Ctrl-C."""
    from streamzarr.errors import NodeNotFoundError
    from streamzarr.feeds.follow import follow_feed
    from streamzarr.feeds.route.read import targets_of
    from streamzarr.feeds.target import Part, find_parts

    def find() -> list[Part]:
        return [each for each in find_parts(target) if partition in (None, each.name)]

    parts = find()
    if not parts:
        raise NodeNotFoundError(f"{target}: no partition {partition!r}; see `streamzarr feed status`")
    some = targets_of(parts[0]).values() if parts[0].facts.layout == "routes" else [parts[0].snapshot]
    for name in fields:
        _ = [snapshot[name] for snapshot in some]  # raises if there is none
    with suppress(KeyboardInterrupt):  # the end that was asked for
        for name, rows in follow_feed(find, count):
            print_rows(rows, fields, as_json, partition=name)


@feed.command(
    epilog=examples("streamzarr feed init --topic fx.ticks --target fx.zarr | tee fx.toml"),
)
@click.option("--topic", required=True, metavar="NAME", help="The topic to look at.")
@click.option("--target", required=True, metavar="URL", help="Where rows shall go.")
@click.option(
    "--broker",
    metavar="URL",
    envvar="STREAMZARR_BROKER",
    default=DEFAULT_BROKER,
    show_default=True,
    show_envvar=True,
    help="Where the topic is.",
)
def init(topic: str, target: str, broker: str) -> None:
    """Propose a configuration for a topic of JSON records, from a look at its last ones.

    It is printed, to be read and changed: what a column means nobody but you knows.
    """
    from streamzarr.feeds.propose import propose

    with open_existing(broker) as opened:
        click.echo(propose(opened, topic, target), nl=False)


def _finding(found: PartitionCheck) -> str:
    if found.changed:
        return f"{counted(found.rows, 'row')}; {found.changed}"
    said = [f"{counted(found.rows, 'row')} of {counted(found.records, 'record')}"]
    if found.dead:
        said.append(counted(found.dead, "dead letter"))
    if found.compacted:
        said.append(f"{found.compacted} compacted away on the broker")
    if found.replayed:
        said.append(f"{found.replayed} by a replay")
    said.append(f"{found.verified} looked for up to offset {found.position}")
    for what, number, some in (
        ("missing", found.missing_count, found.missing),
        ("not on the broker", found.unknown_count, found.unknown),
        ("twice or out of order", found.disorder_count, found.disorder),
    ):
        if number:
            said.append(
                f"{number} {what}: {', '.join(map(str, some))}{', ...' if number > len(some) else ''}"
            )
    return "; ".join(said)


def _dead(found: FeedStatus) -> str:
    dead = counted(found.dead, "dead letter")
    return f"{dead} in {', '.join(found.dead_topics)}" if found.dead_topics else dead


def _lag(found: FeedStatus) -> str:
    said = [counted(found.lag, "record")]
    if found.waiting:
        said.append(f"{found.waiting} of them in partitions that are not taken yet")
    if unknown := sum(each.lag is None for each in found.partitions):
        said.append(f"and nobody can say of {counted(unknown, 'partition')}, see below")
    return ", ".join(said)


def _facts(found: FeedStatus) -> dict[str, Any]:
    partitions = [_plain(each) for each in found.partitions]
    targets = [_plain(each) for each in found.targets]
    sums = {"rows": found.rows, "replayed": found.replayed, "lag": found.lag}
    return {**_plain(found), **sums, "partitions": partitions, "targets": targets}


def _plain(value: Any) -> dict[str, Any]:
    import dataclasses

    return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}


@contextmanager
def _broker(url: str | None) -> Iterator[Broker | None]:
    """Give the broker that was named, or None."""
    if url is None:
        yield None
        return
    with open_existing(url) as opened:
        yield opened
