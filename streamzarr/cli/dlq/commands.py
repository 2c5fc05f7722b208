"""The commands of ``streamzarr dlq``."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import click

from streamzarr.cli.dlq.choice import (
    Choice,
    Number,
    all_option,
    any_record_option,
    chosen,
    numbers_argument,
)
from streamzarr.cli.dlq.export import written_whole
from streamzarr.cli.dlq.facts import content
from streamzarr.cli.dlq.views import View, view_of
from streamzarr.cli.options import broker_option, examples, json_option, open_existing, prefix_option
from streamzarr.cli.output import counted, print_facts, print_json, print_line, print_list, print_table
from streamzarr.cli.progress import counted_by, showing
from streamzarr.hints import hint

topic_option = click.option(
    "--topic", metavar="TOPIC", help="Letters of this dead-letter topic, such as ticks.dead, not of jobs."
)


def _of_topic(command: Callable[..., Any]) -> Callable[..., Any]:
    """Open what a command is about, and give it as `view`."""

    @topic_option
    @broker_option
    @prefix_option
    @json_option
    @functools.wraps(command)
    def wrapper(topic: str | None, broker: str, prefix: str, **options: Any) -> Any:
        choice = options.get("choice")
        with _opened(topic, broker, prefix, choice) as view:
            return command(view=view, place={"broker": broker, "prefix": prefix}, **options)

    return wrapper


@contextmanager
def _opened(topic: str | None, broker: str, prefix: str, choice: Choice | None) -> Iterator[View]:
    if topic is not None and choice is not None and choice.job is not None:
        raise click.UsageError("--job is for letters of jobs, which --topic leaves aside")
    with open_existing(broker) as opened:
        yield view_of(opened, topic, broker, prefix)


@click.group()
def dlq() -> None:
    """Look at dead letters, send them again, or drop them.

    A dead letter is a message that failed for good, exactly as it was, with the reason. Without --topic it is
    a task of a job: one that writes many chunks leaves a letter for each of its chunks that failed, or one
    for all of them if it could not be begun.
    """


@dlq.command(
    epilog=examples(
        "streamzarr dlq ls --job 01M7XZ",
        "streamzarr dlq ls --topic ticks.dead --error 'Key*' --older-than 1h",
        "streamzarr dlq ls --json | jq '.[].message'",
    )
)
@chosen
@click.option(
    "--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="Lines of the table."
)
@_of_topic
def ls(view: View, choice: Choice, limit: int, as_json: bool, place: dict[str, str]) -> None:
    """List the dead letters that were not replayed or dropped."""
    entries = view.read(choice)
    if as_json:
        print_list(map(view.facts, entries))
        return
    print_table(view.columns, [view.row(entry) for entry in islice(entries, limit)], empty="no dead letters")
    if next(entries, None) is not None:
        print_line(f"and more: the first {limit} are shown (--limit)")


@dlq.command(epilog=examples("streamzarr dlq show 3", "streamzarr dlq show 2:7 --topic ticks.dead"))
@click.argument("number", type=Number(), metavar="N")
@_of_topic
def show(view: View, number: tuple[int, int], as_json: bool, place: dict[str, str]) -> None:
    """Show one dead letter: where it came from, why it failed, and the message itself."""
    entry = (number, view.queue.get(number))
    if as_json:
        print_json(view.shown(entry))
    else:
        print_facts(view.details(entry))


@dlq.command(
    epilog=examples(
        "streamzarr dlq replay 3 7",
        "streamzarr dlq replay --job 01M7XZ",
        "streamzarr dlq replay --topic ticks.dead --error TimeoutError --rate 100",
    )
)
@numbers_argument
@chosen
@all_option
@click.option("--to", metavar="TOPIC", help="Send them to this topic, not to where they came from.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Messages a second, at most.")
@any_record_option
@_of_topic
def replay(
    view: View,
    choice: Choice,
    to: str | None,
    rate: float | None,
    any_record: bool,
    as_json: bool,
    place: dict[str, str],
) -> None:
    """Send dead letters again: those with the numbers N, those that are like that, or all.

    Each is sent once, whoever is killed meanwhile, and however often this is called. What a job does behind
    its tasks, its next stage, is sent by `job resume`.
    """
    choice.check()
    with showing("letters") as show:
        count = view.replay(counted_by(show, view.read(choice, any_record)), to, rate)
    _tell("replayed", count, view, as_json)
    if not as_json and view.jobs:
        from streamzarr.jobs import JobTopics, read_register

        known = read_register(view.broker, JobTopics(place["prefix"]))
        for job in sorted(view.jobs):
            if job in known and len(known[job].submitted.stages) > 1:
                print_line(f"go on with {hint('job', 'resume', job, **place)}")
            else:
                print_line(f"see {hint('job', 'status', job, **place)}")


@dlq.command(
    epilog=examples("streamzarr dlq drop 3", "streamzarr dlq drop --topic ticks.dead --older-than 30d")
)
@numbers_argument
@chosen
@all_option
@any_record_option
@_of_topic
def drop(view: View, choice: Choice, any_record: bool, as_json: bool, place: dict[str, str]) -> None:
    """Give dead letters up: they are listed no more; of a job, their chunks stay unwritten."""
    choice.check()
    with showing("letters") as show:
        count = view.queue.drop(counted_by(show, view.read(choice, any_record)))
    _tell("dropped", count, view, as_json)


@dlq.command(epilog=examples("streamzarr dlq purge", "streamzarr dlq purge --topic ticks.dead"))
@any_record_option
@_of_topic
def purge(view: View, any_record: bool, as_json: bool, place: dict[str, str]) -> None:
    """Remove what was replayed or dropped from the topic, up to the first letter that is open."""
    count = view.queue.purge(any_record=any_record)
    if as_json:
        print_json({"purged": count})
    else:
        print_line(f"purged {counted(count, 'record')}")


@dlq.command(
    epilog=examples(
        "streamzarr dlq export --topic ticks.dead",
        "streamzarr dlq export --error 'Key*' --output letters.jsonl",
    )
)
@chosen
@click.option(
    "--output", metavar="FILE", default="-", help="File, replaced as a whole; the terminal when absent."
)
@topic_option
@broker_option
@prefix_option
def export(choice: Choice, output: str, topic: str | None, broker: str, prefix: str) -> None:
    """Write dead letters as JSON, one a line, with key, value and headers; they stay open.

    What is not UTF-8 is written as {"base64": ...}, so that nothing is lost.
    """
    with (
        _opened(topic, broker, prefix, choice) as view,
        written_whole(output) as file,
        showing("letters") as show,
    ):
        entries = view.read(choice)
        for entry in entries if output == "-" else counted_by(show, entries):
            facts = {**view.facts(entry), **content(entry[1])}
            file.write(json.dumps(facts, separators=(",", ":")) + "\n")


def _tell(done: str, count: int, view: View, as_json: bool) -> None:
    """Say what was done to how many letters."""
    if as_json:
        print_json({done: count, "jobs": sorted(view.jobs)})
    else:
        print_line(f"{done} {counted(count, 'dead letter')}")
