"""The commit record: what a stream's group says about its rows, where they came from and who writes them.

It lies in the group's attributes, beside the shapes of all fields, so that both change in one step. A pure
value; anybody may have written the document, so reading is strict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from streamzarr.errors import LimitExceededError, MetadataError
from streamzarr.stream.bounds import Bounds
from streamzarr.zarr.nodes.streams import STREAM_ATTRIBUTE

VERSION: Final = 1
MAX_NAMES: Final = 10_000
"""Entries of a position or source, so that a commit stays small."""
MAX_TEXT: Final = 1000
"""Characters of one name or identity."""
MAX_NUMBER: Final = 2**63 - 1

Position: TypeAlias = int | Mapping[str, int]
"""Where the source is to be read next: a number, or one for each of several parts."""
Source: TypeAlias = str | Mapping[str, str | int]
"""What a position counts in; compared, never interpreted."""

_NUMBERS: Final = ("epoch", "seq", "first_row", "rows", "time_ns")
_TEXTS: Final = ("writer", "commit_id")
_KEYS: Final = frozenset(
    ("version", *_NUMBERS, *_TEXTS, "stream", "source", "position", "since", "sealed", "bounds")
)


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """What one commit says of the whole stream.

    Examples
    --------
    >>> record = CommitRecord(epoch=1, seq=7, rows=100, time_ns=0, writer="host:4711:0a", commit_id="c7")
    >>> CommitRecord.from_json(record.to_json(), "a.zarr") == record
    True
    """

    epoch: int
    """Number of the writer; each one that takes over raises it, and a lower one is fenced."""
    seq: int
    """Number of the commit."""
    rows: int
    """Length of every field: rows before it are committed."""
    time_ns: int
    """Time of day of the commit, nanoseconds since the epoch, by the writer's clock."""
    writer: str
    """Host, process and id of the writer, for people."""
    commit_id: str
    """Unique: tells a commit whose answer was lost from somebody else's."""
    stream: str | None = None
    """Unique, and the same from the first commit on: tells a stream from one made anew in its place."""
    first_row: int = 0
    """Rows before it were given up."""
    source: Source | None = None
    position: Position | None = None
    since: Mapping[str, int] = field(default_factory=dict)
    """First row of each field that was added later; before it, the fill value stands."""
    sealed: Mapping[str, int] = field(default_factory=dict)
    """Rows of each field that was compacted: those before are in its shards."""
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    """Some values of each sorted field that was there from the beginning."""

    def __post_init__(self) -> None:
        if isinstance(self.position, Mapping):
            object.__setattr__(self, "position", dict(self.position))

    def to_json(self) -> dict[str, Any]:
        """Return the attribute to write."""
        document: dict[str, Any] = {"version": VERSION}
        document |= {name: getattr(self, name) for name in (*_NUMBERS, *_TEXTS)}
        document |= {
            name: getattr(self, name)
            for name in ("stream", "source", "position")
            if getattr(self, name) is not None
        }
        bounds = {name: each.to_json() for name, each in self.bounds.items()}
        return (
            document
            | ({"since": dict(self.since)} if self.since else {})
            | ({"sealed": dict(self.sealed)} if self.sealed else {})
            | ({"bounds": bounds} if bounds else {})
        )

    @classmethod
    def from_json(cls, document: Any, where: str) -> CommitRecord:
        """Read the attribute; `where` names the group in errors.

        Raises
        ------
        streamzarr.errors.MetadataError
            It is no commit record, or one of a later version.
        streamzarr.errors.LimitExceededError
            It is larger than any that we write.
        """
        where = f"{where}: {STREAM_ATTRIBUTE}"
        if not isinstance(document, dict):
            raise MetadataError(f"{where}: expected a commit record, got {type(document).__name__}")
        if document.get("version") != VERSION or isinstance(document["version"], bool):
            raise MetadataError(f"{where}: version is {document.get('version')!r}, expected {VERSION}")
        if unknown := document.keys() - _KEYS:
            raise MetadataError(f"{where}: unknown key {sorted(unknown)[0]!r}")
        values: dict[str, Any] = {
            name: check_number(document.get(name), f"{where}: {name}") for name in _NUMBERS
        }
        values |= {name: _text(document.get(name), f"{where}: {name}") for name in _TEXTS}
        record = cls(
            **values,
            stream=None if document.get("stream") is None else _text(document["stream"], f"{where}: stream"),
            source=check_source(document.get("source"), f"{where}: source"),
            position=check_position(document.get("position"), f"{where}: position"),
            since=_numbers(document.get("since", {}), f"{where}: since"),
            sealed=_numbers(document.get("sealed", {}), f"{where}: sealed"),
            bounds={
                name: Bounds.from_json(each, f"{where}: bounds of {name!r}")
                for name, each in _named(document.get("bounds", {}), f"{where}: bounds").items()
            },
        )
        if record.first_row > record.rows:
            raise MetadataError(
                f"{where}: first_row {record.first_row} is behind the last of {record.rows} rows"
            )
        return record


def check_position(value: Any, where: str) -> Position | None:
    """Return `value` if it is a position; raises as :meth:`CommitRecord.from_json`.

    >>> check_position({"ticks/0": 5}, "position")
    {'ticks/0': 5}
    """
    if value is None:
        return None
    return _numbers(value, where) if isinstance(value, Mapping) else check_number(value, where)


def check_source(value: Any, where: str) -> Source | None:
    """Return `value` if it names a source; raises as :meth:`CommitRecord.from_json`."""
    if value is None:
        return None
    if isinstance(value, str):
        return _text(value, where)
    return {
        name: _text(each, f"{where}: {name}")
        if isinstance(each, str)
        else check_number(each, f"{where}: {name}")
        for name, each in _named(value, where).items()
    }


def check_number(value: Any, where: str) -> int:
    """Return `value` if it is a number that JSON readers everywhere keep, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NUMBER:
        raise MetadataError(f"{where}: expected an integer from 0 to 2^63-1, got {_shown(value)}")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise MetadataError(f"{where}: expected a text, got {_shown(value)}")
    if len(value) > MAX_TEXT:
        raise LimitExceededError(f"{where}: {len(value)} characters, at most {MAX_TEXT} allowed")
    return value


def _numbers(value: Any, where: str) -> dict[str, int]:
    return {name: check_number(each, f"{where}: {name}") for name, each in _named(value, where).items()}


def _named(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise MetadataError(f"{where}: expected names and their values, got {_shown(value)}")
    if len(value) > MAX_NAMES:
        raise LimitExceededError(f"{where}: {len(value)} names, at most {MAX_NAMES} allowed")
    for name in value:
        _text(name, where)
    return value


def _shown(value: Any) -> str:
    return repr(value)[:100]
