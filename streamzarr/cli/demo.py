"""``streamzarr demo``: the main job on data of its own, with a check and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamzarr.cli.options import examples, json_option
from streamzarr.cli.output import duration, print_json, print_table, size
from streamzarr.hints import hint

if TYPE_CHECKING:
    from streamzarr.demo.run import DemoResult


@click.command(
    epilog=examples(
        "streamzarr demo",
        "streamzarr demo --workers 4 --size 1000",
        "streamzarr demo --broker kafka://localhost:9092",
    )
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-output"),
    show_default=True,
    help="Folder for arrays, picture and embedded broker; what an earlier demo left there is replaced.",
)
@click.option(
    "--size",
    "megabytes",
    type=click.FloatRange(min=1),
    default=215.0,
    show_default=True,
    metavar="MB",
    help="Least size of the field.",
)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Worker processes.")
@click.option(
    "--broker",
    metavar="URL",
    help="Another broker, such as kafka://host:port; without it an embedded one in the output folder.",
)
@click.option(
    "--picture/--no-picture", default=True, show_default=True, help="Draw input and output as a PNG."
)
@click.option(
    "--feed-seconds",
    type=click.FloatRange(min=0),
    default=8.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the feed of the second part runs; 0 leaves it out.",
)
@json_option
def demo(
    output: Path,
    megabytes: float,
    workers: int,
    broker: str | None,
    picture: bool,
    feed_seconds: float,
    as_json: bool,
) -> None:
    """See a job and a feed at work; needs no server.

    Makes a year of sea-surface temperature, sends it through a queue to worker processes that turn kelvin
    into degrees Celsius and store it in other chunks, another codec and another Zarr format, checks every
    value of the result against numpy, and draws both. Then it sends this machine's own counters to a topic,
    shows the array that grows of them, and checks that each record is in it exactly once. Exit code 2 when
    something is wrong.
    """
    from streamzarr.demo.run import run_demo

    result = run_demo(
        output,
        megabytes=megabytes,
        workers=workers,
        broker=broker,
        picture=picture,
        feed_seconds=feed_seconds,
        say=lambda line: click.echo(line, err=True),
    )
    if as_json:
        print_json(result)
    else:
        _print_summary(result, own_broker=broker is None)


def _print_summary(result: DemoResult, *, own_broker: bool) -> None:
    job = result.job
    print_table(
        ("chunks", "chunks/s", "MB/s", "retried", "dead", "job", "input", "output", "in all"),
        [
            (
                job.written,
                round(job.written / max(job.seconds, 0.001)),
                round(job.bytes / max(job.seconds, 0.001) / 1e6, 1),
                job.retried,
                job.dead,
                duration(job.seconds),
                size(result.source_stored),
                size(result.target_stored),
                duration(result.seconds),
            )
        ],
        empty="",
    )
    click.echo(f"\nlook at it: {hint('info', result.target)}")
    if result.feed is not None:
        click.echo(f"            {hint('feed', 'status', result.feed.target)}")
    if own_broker:
        click.echo(f"            {hint('job', 'status', broker=result.broker)}")
