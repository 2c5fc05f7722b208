"""``streamzarr broker``: topics, groups and how far behind they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from streamzarr.cli.options import broker_option, examples, json_option, open_existing
from streamzarr.cli.output import print_json, print_table

if TYPE_CHECKING:
    from streamzarr.queue import Broker

COLUMNS = {
    "topics": ("topic", "partitions", "records", "first", "next"),
    "groups": ("group", "members", "topics", "lag"),
    "lag": ("group", "topic", "partition", "committed", "end", "lag"),
}


@click.group()
def broker() -> None:
    """Look at a broker: its topics, its consumer groups, and their lag."""


@broker.command(epilog=examples("streamzarr broker topics --broker kafka://broker:9092"))
@broker_option
@json_option
def topics(broker: str, as_json: bool) -> None:
    """List the topics and how many records they hold."""
    with open_existing(broker) as opened:
        infos = [opened.describe(name) for name in opened.topics()]
    _print(
        "topics",
        [
            (
                info.name,
                info.partitions,
                sum(info.end.values()) - sum(info.begin.values()),
                sum(info.begin.values()),
                sum(info.end.values()),
            )
            for info in infos
        ],
        as_json,
    )


@broker.command(epilog=examples("streamzarr broker groups --json"))
@broker_option
@json_option
def groups(broker: str, as_json: bool) -> None:
    """List the consumer groups, their members and their lag over all topics."""
    with open_existing(broker) as opened:
        lags = _lags(opened, None)
        rows = []
        for group in opened.groups():
            own = [row for row in lags if row[0] == group.name]
            rows.append(
                (
                    group.name,
                    group.members,
                    ", ".join(dict.fromkeys(r[1] for r in own)),
                    sum(r[5] for r in own),
                )
            )
    _print("groups", rows, as_json)


@broker.command(epilog=examples("streamzarr broker lag --group streamzarr.workers"))
@click.option("--group", metavar="NAME", help="Only this group.")
@broker_option
@json_option
def lag(group: str | None, broker: str, as_json: bool) -> None:
    """Show for each group and partition how many records it has yet to do."""
    with open_existing(broker) as opened:
        rows = _lags(opened, group)
    _print("lag", rows, as_json)


def _lags(broker: Broker, group: str | None) -> list[tuple[str, str, int, int, int, int]]:
    """Return group, topic, partition, committed position, end and lag of every partition a group reads."""
    known = set(broker.topics())
    rows = []
    for info in broker.groups(group):
        for topic in sorted({where.topic for where in info.committed} & known):
            there = broker.describe(topic)
            committed = {where.partition: at for where, at in info.committed.items() if where.topic == topic}
            reading_from = there.reading_from(committed)
            for partition, end in sorted(there.end.items()):
                position = committed.get(partition, there.begin[partition])
                rows.append((info.name, topic, partition, position, end, end - reading_from[partition]))
    return rows


def _print(what: str, rows: list[Any], as_json: bool) -> None:
    if as_json:
        print_json([dict(zip(COLUMNS[what], row, strict=True)) for row in rows])
    else:
        print_table(COLUMNS[what], rows, empty=f"no {what if what != 'lag' else 'groups'}")
