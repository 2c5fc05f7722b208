"""Which letters: a pure choice by their age, reason and origin."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from numbers import Real
from typing import Final

from streamzarr.errors import ConfigError
from streamzarr.queue.deadletter import DeadLetter, LetterId

_KINDS: Final = (
    ("older_than", Real, "seconds"),
    ("younger_than", Real, "seconds"),
    ("error", str, "a pattern, text"),
    ("stage", str, "a pattern, text"),
    ("key", bytes, "bytes"),
    ("topic", str, "text"),
    ("partition", int, "a number"),
    ("offsets", range, "a range"),
)


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Chooses dead letters; what is not given takes all.

    Raises
    ------
    streamzarr.errors.ConfigError
        A parameter is out of its range.

    Examples
    --------
    >>> from streamzarr.queue import Record
    >>> record = Record("ticks", 3, 41, b"EURUSD", b"not a price", (), 0)
    >>> letter = DeadLetter.of(record, error=ValueError("no price"), stage="decode", first_seen=0)
    >>> LetterFilter(error="Value*", topic="ticks").takes(letter, now=3_600_000)
    True
    >>> LetterFilter(younger_than=60).takes(letter, now=3_600_000)
    False
    """

    older_than: float | None = None
    """Seconds since the message was first tried, at least."""
    younger_than: float | None = None
    """Seconds since then, below."""
    error: str | None = None
    """Pattern of the error's class, such as ``"Key*"``; case counts."""
    stage: str | None = None
    """Pattern of the stage in which it failed."""
    key: bytes | None = None
    """Its key."""
    topic: str | None = None
    """Topic that it came from."""
    partition: int | None = None
    """Partition that it came from."""
    offsets: range | None = None
    """Offsets that it may have had there."""
    ids: frozenset[LetterId] | None = field(default=None)
    """The letters themselves, by their places on the dead-letter topic."""

    def __post_init__(self) -> None:
        for name, kind, expected in _KINDS:
            value = getattr(self, name)
            if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                raise ConfigError(f"LetterFilter({name}={value!r}): expected {expected}")
        for name in ("older_than", "younger_than"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds >= 0:
                raise ConfigError(f"LetterFilter({name}={seconds}): expected seconds, not negative")
        if self.partition is not None and self.partition < 0:
            raise ConfigError(f"LetterFilter(partition={self.partition}): expected 0 or more")

    def takes(self, letter: DeadLetter, now: int, id_: LetterId | None = None) -> bool:
        """Tell whether a letter is chosen.

        Parameters
        ----------
        now
            The time, milliseconds since the epoch.
        id_
            Where it lies; only `ids` ask for it.
        """
        age = (now - letter.first_seen) / 1000
        return (
            (self.ids is None or id_ in self.ids)
            and (self.older_than is None or age >= self.older_than)
            and (self.younger_than is None or age < self.younger_than)
            and (self.error is None or fnmatchcase(letter.error_class, self.error))
            and (self.stage is None or fnmatchcase(letter.stage, self.stage))
            and (self.key is None or letter.key == self.key)
            and (self.topic is None or letter.topic == self.topic)
            and (self.partition is None or letter.partition == self.partition)
            and (self.offsets is None or letter.offset in self.offsets)
        )


ANY_LETTER: Final = LetterFilter()
"""Takes every letter."""
