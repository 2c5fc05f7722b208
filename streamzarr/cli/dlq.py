"""``streamzarr dlq``: the chunks that failed for good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from streamzarr.cli.options import broker_option, examples, json_option, open_existing, prefix_option
from streamzarr.cli.output import age, counted, print_facts, print_json, print_line, print_table
from streamzarr.errors import ConfigError, StreamzarrError
from streamzarr.hints import hint
from streamzarr.runtime import SYSTEM

if TYPE_CHECKING:
    from streamzarr.jobs import JobTopics
    from streamzarr.queue import Broker, DeadLetter
    from streamzarr.queue.deadletter import Entry

SHORT = 12
"""So much of a job's id tells it from others; commands take it."""

job_option = click.option(
    "--job", metavar="JOB", help="Only those of this job; the beginning of its id will do."
)
all_option = click.option("--all", "everything", is_flag=True, help="All of them.")
numbers_argument = click.argument("numbers", nargs=-1, type=click.IntRange(min=0), metavar="[N]...")


@click.group()
def dlq() -> None:
    """Look at dead letters, send them again, or drop them.

    A dead letter is a task that failed for good, exactly as it was, with the reason. A task that writes many
    chunks leaves one for each of its chunks that failed, or one for all of them if it could not be begun.
    """


@dlq.command(epilog=examples("streamzarr dlq ls --job 01M7XZ", "streamzarr dlq ls --json | jq '.[].message'"))
@job_option
@broker_option
@prefix_option
@json_option
def ls(job: str | None, broker: str, prefix: str, as_json: bool) -> None:
    """List the dead letters that were not replayed or dropped."""
    with _opened(broker, prefix) as (opened, topics):
        entries = _select(opened, topics, (), job, see="")
    if as_json:
        print_json([_facts(entry) for entry in entries])
        return
    print_table(
        ("number", "job", "writes", "error", "message", "stage", "attempts", "age"),
        [_row(entry) for entry in entries],
        empty="no dead letters",
    )


@dlq.command(epilog=examples("streamzarr dlq show 3"))
@click.argument("number", type=click.IntRange(min=0))
@broker_option
@prefix_option
@json_option
def show(number: int, broker: str, prefix: str, as_json: bool) -> None:
    """Show one dead letter: where it came from, why it failed, and the task itself."""
    from streamzarr.queue import DeadLetterQueue

    with _opened(broker, prefix) as (opened, topics):
        letter = DeadLetterQueue(opened, topics.dead).get((0, number))
    facts = _facts(((0, number), letter))
    if as_json:
        print_json({**facts, "headers": dict(letter.headers), "value": letter.value})
        return
    origin = f"{letter.topic}[{letter.partition}] offset {letter.offset}, sent {_when(letter.timestamp)}"
    task = facts["target_chunk"] is not None
    print_facts(
        [
            ("number", number),
            ("job", facts["job"]),
            ("task", facts["task"]),
            *([("writes", f"{_written_by(facts)} of {facts['target']}")] if task else []),
            *([("reads", facts["source"])] if task else []),
            ("error", facts["error"]),
            ("message", facts["message"]),
            ("stage", facts["stage"]),
            ("attempts", facts["attempts"]),
            ("first tried", f"{_when(letter.first_seen)}, {_ago(letter.first_seen)} ago"),
            ("worker", facts["worker"]),
            ("origin", origin),
            ("value", (letter.value or b"").decode("utf-8", "backslashreplace")),
        ]
    )


@dlq.command(epilog=examples("streamzarr dlq replay 3 7", "streamzarr dlq replay --job 01M7XZ"))
@numbers_argument
@job_option
@all_option
@broker_option
@prefix_option
@json_option
def replay(
    numbers: tuple[int, ...], job: str | None, everything: bool, broker: str, prefix: str, as_json: bool
) -> None:
    """Send dead letters to the workers again: those with the numbers N, those of a job, or all.

    What a job does behind them, its next stage, is sent by `job resume`.
    """
    from streamzarr.jobs import read_register
    from streamzarr.jobs import replay as replay_letters

    _check_choice(numbers, job, everything)
    with _opened(broker, prefix) as (opened, topics):
        see = hint("dlq", "ls", broker=broker, prefix=prefix)
        entries = _select(opened, topics, numbers, job, see)
        count = replay_letters(opened, topics, entries)
        known = read_register(opened, topics)
    jobs = _tell("replayed", count, entries, as_json)
    if as_json:
        return
    for each in jobs:
        if each in known and len(known[each].submitted.stages) > 1:
            print_line(f"go on with {hint('job', 'resume', each, broker=broker, prefix=prefix)}")
        else:
            print_line(f"see {hint('job', 'status', each, broker=broker, prefix=prefix)}")


@dlq.command(epilog=examples("streamzarr dlq drop 3", "streamzarr dlq drop --all"))
@numbers_argument
@job_option
@all_option
@broker_option
@prefix_option
@json_option
def drop(
    numbers: tuple[int, ...], job: str | None, everything: bool, broker: str, prefix: str, as_json: bool
) -> None:
    """Give dead letters up: they are listed no more, and their chunks stay unwritten."""
    from streamzarr.queue import DeadLetterQueue

    _check_choice(numbers, job, everything)
    with _opened(broker, prefix) as (opened, topics):
        see = hint("dlq", "ls", broker=broker, prefix=prefix)
        entries = _select(opened, topics, numbers, job, see)
        count = DeadLetterQueue(opened, topics.dead).drop(entries)
    _tell("dropped", count, entries, as_json)


@contextmanager
def _opened(broker: str, prefix: str) -> Iterator[tuple[Broker, JobTopics]]:
    from streamzarr.jobs import JobTopics

    with open_existing(broker) as opened:
        yield opened, JobTopics(prefix)


def _select(
    broker: Broker, topics: JobTopics, numbers: tuple[int, ...], job: str | None, see: str
) -> list[Entry]:
    """Return the open letters with these numbers (none given: all) and of this job; `see` lists them."""
    from streamzarr.jobs.letters import open_letters

    if job == "":
        raise click.UsageError("--job is '', expected an id or its beginning")
    wanted = (job or "").upper().encode()
    entries = open_letters(
        broker, topics, lambda letter: job is None or _header(letter, "streamzarr.job").startswith(wanted)
    )
    if job is not None and len(jobs := _jobs_of(entries)) > 1:
        raise ConfigError(f"dead letters of {len(jobs)} jobs with id {job!r}: {', '.join(jobs[-3:])}")
    if not numbers:
        return entries
    chosen = [entry for entry in entries if entry[0][1] in numbers]
    if missing := sorted(set(numbers) - {id_[1] for id_, _ in chosen}):
        raise ConfigError(f"no open dead letter has the number {missing[0]}; see {see}")
    return chosen


def _check_choice(numbers: tuple[int, ...], job: str | None, everything: bool) -> None:
    if bool(numbers) + (job is not None) + everything != 1:
        raise click.UsageError("say which: numbers, --job or --all, one of the three")


def _facts(entry: Entry | tuple[tuple[int, int], DeadLetter]) -> dict[str, Any]:
    """Return what a dead letter tells; the task's parts are None where its message cannot be read."""
    from streamzarr.jobs.wire import decode_stage, decode_task

    (_, number), letter = entry  # the topic has one partition
    facts: dict[str, Any] = {
        "number": number,
        "job": _header(letter, "streamzarr.job").decode("utf-8", "backslashreplace"),
        "task": _header(letter, "streamzarr.task").decode("utf-8", "backslashreplace"),
        "error": letter.error_class,
        "message": letter.message,
        "stage": letter.stage,
        "attempts": letter.attempts,
        "first_seen": letter.first_seen,
        "worker": letter.worker,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp": letter.timestamp,
        "source": None,
        "target": None,
        "target_chunk": None,
        "chunks": None,
    }
    try:
        task = decode_task(letter.value)
        stage = decode_stage(task.stage)
    except StreamzarrError:
        return facts  # not a task: that is why it is here
    return {
        **facts,
        "source": stage.source,
        "target": stage.target,
        "target_chunk": list(task.chunk),
        "chunks": task.count,
    }


def _written_by(facts: dict[str, Any]) -> str:
    """Name the chunks that a task writes; nothing where it cannot be read."""
    first, count = facts["target_chunk"], facts["chunks"]
    if first is None:
        return ""
    return f"chunk {first}" if count == 1 else f"{count} chunks from {first}"


def _row(entry: Entry) -> tuple[Any, ...]:
    facts = _facts(entry)
    names = ("number", "job", "writes", "error", "message", "stage", "attempts")
    row = {
        **facts,
        "job": facts["job"][:SHORT],
        "writes": _written_by(facts),
        "message": _first_line(facts["message"]),
    }
    return (*(row[name] for name in names), _ago(facts["first_seen"]))


def _header(letter: DeadLetter, name: str) -> bytes:
    return dict(letter.headers).get(name, b"")


def _tell(done: str, count: int, entries: list[Entry], as_json: bool) -> list[str]:
    """Say what was done to how many letters; return the jobs that they are of."""
    jobs = _jobs_of(entries)
    if as_json:
        print_json({done: count, "jobs": jobs})
    else:
        print_line(f"{done} {counted(count, 'dead letter')}")
    return jobs


def _jobs_of(entries: list[Entry]) -> list[str]:
    jobs = {_header(letter, "streamzarr.job").decode("utf-8", "replace") for _, letter in entries}
    return sorted(jobs - {""})


def _first_line(text: str) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= 100 else f"{line[:99]}…"


def _when(timestamp: int) -> str:
    import numpy as np  # its calendar has no last year: a timestamp is whatever its sender wrote

    return str(np.datetime64(timestamp // 1000, "s")).replace("T", " ") + " UTC"


def _ago(timestamp: int) -> str:
    return age(SYSTEM.wall_ns() / 1e9 - timestamp / 1000)
