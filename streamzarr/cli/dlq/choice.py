"""Which letters a command is about."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from streamzarr.cli.options import Duration
from streamzarr.cli.param_type import ParamType
from streamzarr.errors import ConfigError

if TYPE_CHECKING:
    from streamzarr.queue import LetterFilter

Command = TypeVar("Command", bound=Callable[..., Any])

_NUMBER = re.compile(r"(?:([0-9]{1,9}):)?([0-9]{1,18})")
_ORIGIN = re.compile(r"([A-Za-z0-9._-]+)(?::([0-9]{1,9})(?::([0-9]{1,18})(?:-([0-9]{1,18}))?)?)?")


class Number(ParamType[tuple[int, int]]):
    """The place of a letter: ``7``, or ``2:7`` on a topic of several partitions."""

    name = "N"

    def convert(  # noqa: D102
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        found = _NUMBER.fullmatch(str(value))
        if found is None:
            self.fail(f"got {value!r}, expected a number as `dlq ls` shows it, such as 7 or 2:7", param, ctx)
        return int(found[1] or 0), int(found[2])


class Origin(ParamType[tuple[str, int | None, range | None]]):
    """Where messages came from: ``topic``, ``topic:partition``, ``topic:partition:offset[-last]``."""

    name = "TOPIC[:PARTITION[:OFFSET[-LAST]]]"

    def convert(  # noqa: D102
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int | None, range | None]:
        if isinstance(value, tuple):
            return value
        found = _ORIGIN.fullmatch(str(value))
        if found is None:
            self.fail(f"got {value!r}, expected {self.name}, as in ticks:3:41-50", param, ctx)
        topic, partition, first, last = found.groups()
        offsets = None if first is None else range(int(first), int(last or first) + 1)
        return topic, None if partition is None else int(partition), offsets


@dataclass(frozen=True, slots=True)
class Choice:
    """What was said of the letters that are meant."""

    numbers: tuple[tuple[int, int], ...] = ()
    job: str | None = None
    everything: bool = False
    older_than: float | None = None
    younger_than: float | None = None
    error: str | None = None
    stage: str | None = None
    key: str | None = None
    origin: tuple[str, int | None, range | None] | None = None

    def __post_init__(self) -> None:
        if self.job == "":
            raise click.UsageError("--job is '', expected an id or its beginning")

    @property
    def by_kind(self) -> bool:
        """Whether letters are chosen by what they are like."""
        kinds = (self.job, self.older_than, self.younger_than, self.error, self.stage, self.key, self.origin)
        return any(kind is not None for kind in kinds)

    def check(self) -> None:
        """Raise unless it was said which: nobody replays everything by mistake."""
        if bool(self.numbers) + self.by_kind + self.everything != 1:
            raise click.UsageError(
                "say which: numbers, --all, or what they are like (--job, --error, --older-than, ...)"
            )

    def filter(self) -> LetterFilter:
        """Return the choice, but for the job."""
        from streamzarr.queue import LetterFilter
        from streamzarr.queue.deadletter import LetterId

        topic, partition, offsets = self.origin or (None, None, None)
        return LetterFilter(
            older_than=self.older_than,
            younger_than=self.younger_than,
            error=self.error,
            stage=self.stage,
            key=None if self.key is None else self.key.encode(),
            topic=topic,
            partition=partition,
            offsets=offsets,
            ids=frozenset(LetterId(*number) for number in self.numbers) if self.numbers else None,
        )

    def check_found(
        self, found: set[tuple[int, int]], show: Callable[[tuple[int, int]], Any], see: str
    ) -> None:
        """Raise when a number is of no letter that is open; `show` writes it, `see` lists them."""
        if missing := sorted(set(self.numbers) - found):
            raise ConfigError(f"no open dead letter has the number {show(missing[0])}; see {see}")


numbers_argument = click.argument("numbers", nargs=-1, type=Number(), metavar="[N]...")
all_option = click.option("--all", "everything", is_flag=True, help="All of them.")
any_record_option = click.option(
    "--any-record", is_flag=True, help="Also where the topic has records that are no dead letters."
)
_OPTIONS = (
    click.option("--job", metavar="JOB", help="Only those of this job; the beginning of its id will do."),
    click.option("--error", metavar="PATTERN", help="Only those with this class of error, as in 'Key*'."),
    click.option("--stage", metavar="PATTERN", help="Only those that failed in this stage."),
    click.option("--key", metavar="TEXT", help="Only those with this key."),
    click.option("--origin", type=Origin(), help="Only those that came from there, as in ticks:3:41-50."),
    click.option("--older-than", type=Duration(), help="Only those first tried so long ago, as in 7d."),
    click.option("--younger-than", type=Duration(), help="Only those first tried since."),
)


def chosen(command: Command) -> Command:
    """Add the options that choose letters to a command; it gets them as one `choice`."""

    @functools.wraps(command)
    def wrapper(*args: Any, **options: Any) -> Any:
        given = {name: options.pop(name) for name in Choice.__dataclass_fields__ if name in options}
        choice = Choice(**given)
        return command(*args, choice=choice, **options)

    for option in reversed(_OPTIONS):
        wrapper = option(wrapper)
    return wrapper  # type: ignore[return-value]
