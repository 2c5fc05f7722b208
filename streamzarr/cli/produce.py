"""``streamzarr produce``: records of a file, or made up, to a topic."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from streamzarr.cli.interrupts import interrupt_at_a_safe_moment
from streamzarr.cli.options import broker_option, examples, json_option
from streamzarr.cli.output import counted, duration, print_json, print_line, size
from streamzarr.errors import TopicNotFoundError
from streamzarr.runtime import SYSTEM

if TYPE_CHECKING:
    from streamzarr.feeds.produce import Piece, Produced
    from streamzarr.queue import Broker


_OF_FILES: Final = ("form", "names", "key", "time", "time_unit", "time_format")
_OF_MADE: Final = ("rate", "seed", "ids", "start", "fast")


@click.command(
    epilog=examples(
        "streamzarr produce ticks.csv.gz --topic fx.ticks --names time,bid,ask --key symbol",
        "streamzarr produce trades.parquet --topic trades --time timestamp --speed 60",
        "streamzarr produce --generate ticks --rate 5000 --count 100000 --topic fx.ticks",
        "streamzarr produce --generate sensors --seed 7 --ids 20 --topic lab --broker kafka://broker:9092",
    )
)
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--topic", required=True, metavar="NAME", help="Where to; made when it is not there.")
@broker_option
@click.option(
    "--partitions",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Of the topic, where it is made.",
)
@click.option(
    "--generate",
    "kind",
    type=click.Choice(["ticks", "book", "sensors"]),
    help="Make records up: quotes, updates of an order book, or readings of stations.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=1000.0,
    show_default=True,
    help="Records a second that are made up, on average.",
)
@click.option("--count", type=click.IntRange(min=1), help="How many records; by default all, or without end.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same gives the same records.")
@click.option(
    "--ids", type=click.IntRange(1, 100_000), default=4, show_default=True, help="Symbols, stations."
)
@click.option("--start", metavar="TIME", help="When made up records begin; by default now.")
@click.option(
    "--format", "form", type=click.Choice(["json", "csv", "msgpack"]), default="json", show_default=True
)
@click.option("--names", metavar="A,B,...", help="Columns of a CSV file without a header.")
@click.option("--key", metavar="COLUMN", help="Its values are the records' keys.")
@click.option("--time", "time", metavar="COLUMN", help="Its values are the records' times.")
@click.option("--time-unit", type=click.Choice(["s", "ms", "us", "ns"]), help="Of times that are numbers.")
@click.option("--time-format", metavar="FORMAT", help="Of times that are not ISO 8601, as %Y%m%d %H%M%S%f.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    help="How many times as fast as the times say; by default as fast as the broker takes them.",
)
@click.option("--fast", is_flag=True, help="Send what is made up as fast as the broker takes it.")
@json_option
def produce(
    file: Path | None, topic: str, broker: str, partitions: int, as_json: bool, **options: Any
) -> None:
    """Send the rows of FILE, or records that are made up, to a topic.

    FILE is CSV or JSON lines (also with .gz), or Parquet. Numbers of a CSV file keep their digits. Ctrl-C
    ends it: what was sent until then is in the topic.
    """
    from streamzarr.feeds.produce import produce as send
    from streamzarr.queue.open import open_broker

    if (file is None) == (options["kind"] is None):
        raise click.UsageError("give a file, or --generate" + ("" if file is None else ", not both"))
    _check_options(made=file is None)
    if file is None:
        pieces, speed = _made(options), None if options["fast"] else options["speed"] or 1.0
    else:
        file.stat()  # raises before a topic is made
        pieces, speed = _read(file, options), options["speed"]
        if speed is not None and options["time"] is None:
            raise click.UsageError("--speed needs --time, the column that says when each record was")
    # What cannot be read at all, or made, makes no topic.
    first = next(pieces, None)
    pieces = pieces if first is None else chain([first], pieces)
    done = None
    with open_broker(broker) as opened, interrupt_at_a_safe_moment() as check:
        _make_topic(opened, topic, partitions)
        with closing(send(opened, topic, pieces, count=options["count"], speed=speed)) as sending:
            try:
                for done in sending:
                    _show(done)
                    check()
            except KeyboardInterrupt:
                if done is None:
                    raise
                # else what was sent is in the topic, once it is closed
    assert done is not None
    _tell(done, topic, as_json)


def _check_options(made: bool) -> None:
    """Refuse what has no meaning for records that are `made` up, or for those of a file."""
    context = click.get_current_context()
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if given and option.name in (_OF_FILES if made else _OF_MADE):
            raise click.UsageError(f"{option.opts[0]} is for {'a file' if made else '--generate'}")


def _make_topic(broker: Broker, topic: str, partitions: int) -> None:
    """Make the topic, unless it is there, with however many partitions."""
    try:
        broker.describe(topic)
    except TopicNotFoundError:
        broker.create_topic(topic, partitions, exist_ok=True)


def _show(done: Produced) -> None:
    """Show how far it is, in one line, to whoever looks."""
    if sys.stderr.isatty():
        click.echo(f"\r{_line(done)}\x1b[K", nl=False, err=True)


def _tell(done: Produced, topic: str, as_json: bool) -> None:
    if sys.stderr.isatty():
        click.echo(err=True)
    if as_json:
        facts = {
            "topic": topic,
            "records": done.records,
            "bytes": done.bytes,
            "seconds": round(done.seconds, 3),
        }
        print_json(facts)
    else:
        print_line(f"{topic}: {_line(done)}")


def _line(done: Produced) -> str:
    rate = done.records / done.seconds if done.seconds else 0.0
    what = f"{counted(done.records, 'record')}, {size(done.bytes)}"
    return f"{what} in {duration(done.seconds)}, {rate:,.0f} a second"


def _made(options: dict[str, Any]) -> Iterator[Piece]:
    from streamzarr.feeds.produce import generate
    from streamzarr.feeds.produce.moments import Moments

    start = SYSTEM.wall_ns()
    if options["start"] is not None:
        [start] = Moments("--start").of([options["start"]], "--start", 0)
    return generate(
        options["kind"], rate=options["rate"], seed=options["seed"], start=start, ids=options["ids"]
    )


def _read(file: Any, options: dict[str, Any]) -> Iterator[Piece]:
    from streamzarr.feeds.produce import read_file
    from streamzarr.feeds.produce.moments import Moments

    moments = None
    if options["time"] is not None:
        moments = Moments(options["time"], unit=options["time_unit"], format=options["time_format"])
    names = None if options["names"] is None else [each.strip() for each in options["names"].split(",")]
    return read_file(file, format=options["form"], names=names, key=options["key"], moments=moments)
