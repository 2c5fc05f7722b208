"""Letters of jobs, and of any topic: the same commands on both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from streamzarr.cli.dlq.choice import Choice
from streamzarr.cli.dlq.facts import ago, content, facts_of, first_line, header, task_facts, when, written_by
from streamzarr.errors import ConfigError, TopicNotFoundError
from streamzarr.hints import hint

if TYPE_CHECKING:
    from streamzarr.jobs import JobTopics
    from streamzarr.queue import Broker, DeadLetter
    from streamzarr.queue.deadletter import Entry

SHORT = 12
"""So much of a job's id tells it from others; commands take it."""


class View(ABC):
    """The letters of one dead-letter topic as commands see them."""

    columns: Sequence[str]

    def __init__(self, broker: Broker, topic: str, see: str) -> None:
        from streamzarr.queue import DeadLetterQueue

        self.broker = broker
        self.queue = DeadLetterQueue(broker, topic)
        self.see = see
        """Command that lists them."""
        self.jobs: set[str] = set()
        """Jobs of the letters that were read."""

    @abstractmethod
    def read(self, choice: Choice, any_record: bool = True) -> Iterator[Entry]:
        """Return the letters that are meant; raises when there is none of a number.

        Without `any_record` also where the topic has records that are no letters.
        """

    @abstractmethod
    def replay(self, letters: Iterable[Entry], to: str | None, rate: float | None) -> int:
        """Send letters again; return how many."""

    @abstractmethod
    def number(self, id_: tuple[int, int]) -> int | str:
        """Return the place of a letter as people type it."""

    @abstractmethod
    def facts(self, entry: tuple[tuple[int, int], DeadLetter]) -> dict[str, Any]:
        """Return what a letter tells, for scripts."""

    @abstractmethod
    def row(self, entry: Entry) -> tuple[Any, ...]:
        """Return a letter's line in a table."""

    @abstractmethod
    def shown(self, entry: tuple[tuple[int, int], DeadLetter]) -> dict[str, Any]:
        """Return all that a letter holds, for scripts."""

    def details(self, entry: tuple[tuple[int, int], DeadLetter]) -> list[tuple[str, Any]]:
        """Return all that a letter holds, for people."""
        id_, letter = entry
        return [
            ("number", self.number(id_)),
            *self.more(entry),
            ("error", letter.error_class),
            ("message", letter.message),
            ("stage", letter.stage),
            ("attempts", letter.attempts),
            ("first tried", f"{when(letter.first_seen)}, {ago(letter.first_seen)} ago"),
            ("worker", letter.worker),
            (
                "origin",
                f"{letter.topic}[{letter.partition}] offset {letter.offset}, sent {when(letter.timestamp)}",
            ),
            ("value", (letter.value or b"").decode("utf-8", "backslashreplace")),
        ]

    def more(self, entry: tuple[tuple[int, int], DeadLetter]) -> list[tuple[str, Any]]:
        """Return what this kind of letter has beside."""
        return []


class TopicView(View):
    """The letters of any topic, read one by one."""

    columns = ("number", "origin", "key", "error", "message", "stage", "attempts", "age")

    def __init__(self, broker: Broker, topic: str, see: str) -> None:
        super().__init__(broker, topic, see)
        self._partitions = broker.describe(topic).partitions

    def read(self, choice: Choice, any_record: bool = True) -> Iterator[Entry]:  # noqa: D102
        entries = self.queue.read(choice.filter(), any_record=any_record)
        if not choice.numbers:
            return entries
        found = list(entries)  # no more than were typed
        choice.check_found({id_ for id_, _ in found}, self.number, self.see)
        return iter(found)

    def replay(self, letters: Iterable[Entry], to: str | None, rate: float | None) -> int:  # noqa: D102
        return self.queue.replay(letters, to=to, rate=rate)

    def number(self, id_: tuple[int, int]) -> int | str:  # noqa: D102
        return id_[1] if self._partitions == 1 else f"{id_[0]}:{id_[1]}"

    def facts(self, entry: tuple[tuple[int, int], DeadLetter]) -> dict[str, Any]:  # noqa: D102
        return facts_of(entry[1], self.number(entry[0]))

    def shown(self, entry: tuple[tuple[int, int], DeadLetter]) -> dict[str, Any]:  # noqa: D102
        return {**self.facts(entry), **content(entry[1])}

    def more(self, entry: tuple[tuple[int, int], DeadLetter]) -> list[tuple[str, Any]]:  # noqa: D102
        letter = entry[1]
        return [
            ("key", "" if letter.key is None else letter.key.decode("utf-8", "backslashreplace")),
            *((name, value.decode("utf-8", "backslashreplace")) for name, value in letter.headers),
        ]

    def row(self, entry: Entry) -> tuple[Any, ...]:  # noqa: D102
        id_, letter = entry
        return (
            self.number(id_),
            f"{letter.topic}:{letter.partition}:{letter.offset}",
            first_line((letter.key or b"").decode("utf-8", "backslashreplace")),
            letter.error_class,
            first_line(letter.message),
            letter.stage,
            letter.attempts,
            ago(letter.first_seen),
        )


class JobView(View):
    """The letters of jobs, reconciled with their ledgers."""

    columns = ("number", "job", "writes", "error", "message", "stage", "attempts", "age")

    def __init__(self, broker: Broker, topics: JobTopics, see: str) -> None:
        super().__init__(broker, topics.dead, see)
        self._topics = topics

    def read(self, choice: Choice, any_record: bool = True) -> Iterator[Entry]:  # noqa: D102
        from streamzarr.jobs.letters import open_letters
        from streamzarr.queue.deadletter import dead_letter_topic

        if self._topics.dead not in (topics := self.broker.topics()):
            others = [topic for topic in topics if topic.endswith(dead_letter_topic(""))]
            here = f"; here are {', '.join(others[:3])}{', ...' if len(others) > 3 else ''}" if others else ""
            raise TopicNotFoundError(
                f"{self.broker}: no jobs, so no dead letters of jobs (topic {self._topics.dead!r}); those of "
                f"feeds and pipelines are in topics of their own, which --topic names{here}"
            )
        wanted = (choice.job or "").upper()
        entries = open_letters(
            self.broker,
            self._topics,
            lambda letter: choice.job is None or header(letter, "streamzarr.job").startswith(wanted),
        )
        jobs = sorted({header(letter, "streamzarr.job") for _, letter in entries} - {""})
        if choice.job is not None and len(jobs) > 1:
            raise ConfigError(
                f"dead letters of {len(jobs)} jobs with id {choice.job!r}: {', '.join(jobs[-3:])}"
            )
        which, now = choice.filter(), self.broker.runtime.wall_ns() // 1_000_000
        found = [entry for entry in entries if which.takes(entry[1], now, entry[0])]
        choice.check_found({id_ for id_, _ in found}, self.number, self.see)
        self.jobs = {header(letter, "streamzarr.job") for _, letter in found} - {""}
        return iter(found)

    def replay(self, letters: Iterable[Entry], to: str | None, rate: float | None) -> int:  # noqa: D102
        from streamzarr.jobs import replay

        if to is not None:
            raise click.UsageError("--to is for letters of --topic: tasks go to their workers")
        return replay(self.broker, self._topics, letters, rate=rate)

    def number(self, id_: tuple[int, int]) -> int | str:  # noqa: D102
        return id_[1]  # the topic has one partition

    def facts(self, entry: tuple[tuple[int, int], DeadLetter]) -> dict[str, Any]:  # noqa: D102
        return {**facts_of(entry[1], self.number(entry[0])), **task_facts(entry[1])}

    def shown(self, entry: tuple[tuple[int, int], DeadLetter]) -> dict[str, Any]:  # noqa: D102
        letter = entry[1]
        return {**self.facts(entry), "headers": dict(letter.headers), "value": letter.value}

    def more(self, entry: tuple[tuple[int, int], DeadLetter]) -> list[tuple[str, Any]]:  # noqa: D102
        facts = task_facts(entry[1])
        task = facts["target_chunk"] is not None
        return [
            ("job", facts["job"]),
            ("task", facts["task"]),
            *([("writes", f"{written_by(facts)} of {facts['target']}")] if task else []),
            *([("reads", facts["source"])] if task else []),
        ]

    def row(self, entry: Entry) -> tuple[Any, ...]:  # noqa: D102
        facts = self.facts(entry)
        return (
            facts["number"],
            facts["job"][:SHORT],
            written_by(facts),
            facts["error"],
            first_line(facts["message"]),
            facts["stage"],
            facts["attempts"],
            ago(facts["first_seen"]),
        )


def view_of(broker: Broker, topic: str | None, url: str, prefix: str) -> View:
    """Return the letters of `topic`, or of the jobs whose topics begin with `prefix`."""
    if topic is not None:
        return TopicView(broker, topic, hint("dlq", "ls", "--topic", topic, broker=url))
    from streamzarr.jobs import JobTopics

    return JobView(broker, JobTopics(prefix), hint("dlq", "ls", broker=url, prefix=prefix))
