"""What a check of a stream can find, and what is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What is not as a writer leaves it: a name, whether it does no harm, and what a repair does about it."""

    MISSING = "missing chunk", False, None
    DAMAGED = "damaged chunk", False, None
    DECREASES = "decreasing values", False, None
    EARLY = "chunk before its field", False, "deletes it: rows before the field was added are its fill value"
    COPY = "chunk unlike its shard", False, "deletes it: its rows are in the shard"
    BOUNDS = "wrong bounds", False, "drops them: a search then reads some chunks more"
    CHILD = "wrong document", False, "writes it as the root has it"
    LAGS = "lagging document", True, "lets it follow the root, as the next commit does"
    GIVEN_UP = "chunk before the first row", True, "deletes it"
    BEHIND = "chunk behind the last row", True, None
    STRANGE = "strange object", True, None
    STALE = "stale temp file", True, "removes it"

    def __init__(self, title: str, harmless: bool, repair: str | None) -> None:
        self.title, self.harmless, self.repair = title, harmless, repair


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as a writer leaves it."""

    kind: Kind
    key: str
    """The object in the store, or the array of the field."""
    array: str
    """The path of the array below the stream's group: that of a field, or of its shards; "" if none."""
    what: str
    """The facts, in one sentence."""

    def __str__(self) -> str:
        return f"{self.kind.title}: {self.what}"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check has found."""

    url: str
    first_row: int
    rows: int
    """Rows before it were looked at, from `first_row` on."""
    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        """Whether every promise holds: what was found, if anything, does no harm."""
        return all(each.kind.harmless for each in self.findings)
