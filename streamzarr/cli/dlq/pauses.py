"""``streamzarr dlq paused`` and ``resume``: partitions that pause rather than write more letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from streamzarr.cli.dlq.choice import Origin
from streamzarr.cli.dlq.facts import ago, first_line
from streamzarr.cli.options import broker_option, examples, json_option, open_existing
from streamzarr.cli.output import counted, print_json, print_line, print_table

if TYPE_CHECKING:
    from streamzarr.queue.letters import PauseNotice

_topic_option = click.option(
    "--topic", required=True, metavar="TOPIC", help="The dead-letter topic of the pipeline, as ticks.dead."
)


@click.command(epilog=examples("streamzarr dlq paused --topic ticks.dead"))
@_topic_option
@broker_option
@json_option
def paused(topic: str, broker: str, as_json: bool) -> None:
    """List partitions of pipelines that pause: too much of them failed, or what they need is not there.

    Each is tried again by itself; `resume` has it go on at once.
    """
    from streamzarr.queue.letters import paused_partitions

    with open_existing(broker) as opened:
        found = paused_partitions(opened, topic)
    if as_json:
        print_json(found)
        return
    print_table(
        ("partition", "position", "group", "since", "worker", "message"),
        [
            (_name(each), each.position, each.group, ago(each.since), each.worker, first_line(each.reason))
            for each in found
        ],
        empty="no partition pauses",
    )


@click.command(
    epilog=examples(
        "streamzarr dlq resume ticks:1 --topic ticks.dead",
        "streamzarr dlq resume --all --topic ticks.dead",
    )
)
@click.argument("partitions", nargs=-1, type=Origin(), metavar="[TOPIC[:PARTITION]]...")
@click.option("--all", "everything", is_flag=True, help="All that pause.")
@_topic_option
@broker_option
@json_option
def resume(
    partitions: tuple[tuple[str, int | None, Any], ...],
    everything: bool,
    topic: str,
    broker: str,
    as_json: bool,
) -> None:
    """Have partitions that pause go on at once, in whatever process they are, with their limits anew."""
    if bool(partitions) == everything:
        raise click.UsageError("say which: partitions as `dlq paused` shows them, such as ticks:1, or --all")
    from streamzarr.queue.base import TopicPartition
    from streamzarr.queue.letters import paused_partitions, resume_partitions

    with open_existing(broker) as opened:
        found = [
            each
            for each in paused_partitions(opened, topic)
            if everything
            or any(name == each.topic and number in (None, each.partition) for name, number, _ in partitions)
        ]
        chosen = sorted({TopicPartition(each.topic, each.partition) for each in found})
        if chosen:
            resume_partitions(opened, topic, chosen)
    if as_json:
        print_json({"resumed": found})
    else:
        print_line(f"told {counted(len(chosen), 'partition')} to go on")


def _name(notice: PauseNotice) -> str:
    return f"{notice.topic}:{notice.partition}"
