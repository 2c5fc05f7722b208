"""A configuration for a topic, from a look at its records: a beginning to be read and changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from streamzarr.errors import MessageError
from streamzarr.queue import Broker

RECORDS: Final = 1000
"""Records that are looked at, of each partition the last ones."""
PATIENCE: Final = 1.0
"""Seconds to wait for another record."""

_ISO: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
_TIMELY: Final = re.compile(r"(^|[._])(t|ts|at|time|date|when|timestamp)|(time|stamp)$", re.IGNORECASE)
_UNITS: Final = {"s": 10**9, "ms": 10**12, "us": 10**15, "ns": 10**18}
"""From these numbers on an integer is a time after 2001 in a unit; before a thousand times as much."""
_UNPATHED: Final = re.compile(r"[.\\]|^@")
"""In a name: no path leads there as it is."""
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(slots=True)
class _Found:
    """The values at one path, in the order in which they came."""

    count: int = 0
    kinds: set[str] = field(default_factory=set)
    units: set[str] = field(default_factory=set)
    last: dict[int, Any] = field(default_factory=dict)
    goes_back: bool = False

    def add(self, value: Any, partition: int) -> None:
        if value is None:
            return
        self.count += 1
        kind = _kind(value)
        self.kinds.add(kind)
        if kind == "int":
            self.units.add(
                next((unit for unit, least in _UNITS.items() if least <= value < 1000 * least), "")
            )
        if partition in self.last and type(value) is type(self.last[partition]):
            self.goes_back |= value < self.last[partition]
        self.last[partition] = value


def propose(broker: Broker, topic: str, target: str) -> str:
    """Return a TOML configuration for `topic`, whose records are JSON objects.

    Columns are what the last records have: numbers, texts, times as texts of ISO 8601 or as numbers under a
    name that says so. What some records lack is not required; a time that never goes back is sorted.

    Raises
    ------
    streamzarr.errors.TopicNotFoundError
        There is no such topic.
    streamzarr.errors.MessageError
        It has no records, or none of those looked at is a JSON object.
    """
    total, fields, bad = 0, dict[str, _Found](), 0
    for partition, value in _last_records(broker, topic):
        total += 1
        try:
            document = msgspec.json.decode(value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            document = None
        if not isinstance(document, dict):
            bad += 1
            continue
        for path, each in _leaves(document):
            fields.setdefault(path, _Found()).add(each, partition)
    good = total - bad
    if not total:
        raise MessageError(f"{broker}: topic {topic!r} has no records to look at")
    if not good:
        raise MessageError(f"{broker}: of {total} records of topic {topic!r} none is a JSON object")
    return _document(str(broker), topic, target, list(_columns(fields, good)), good, bad)


def _last_records(broker: Broker, topic: str) -> Iterator[tuple[int, bytes | None]]:
    info = broker.describe(topic)
    start = {number: max(info.begin[number], end - RECORDS) for number, end in info.end.items()}
    left = sum(end - start[number] for number, end in info.end.items())
    with broker.reader(topic, start) as reader:
        while left > 0 and (runs := reader.poll_columns(left, PATIENCE)):
            for run in runs:
                left -= len(run)
                for value in run.values:
                    yield run.partition, value


def _leaves(document: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the paths of a document that can be columns, and their values."""
    for name, value in document.items():
        path = f"{above}{name}"
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}.")
        elif not isinstance(value, list) and name and not _UNPATHED.search(name):
            yield path, value


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return type(value).__name__
    if _ISO.match(value):
        return "time"
    return "number" if _NUMBER.fullmatch(value) else "text"


def _columns(fields: Mapping[str, _Found], good: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield names and tables of the columns."""
    taken = {"offset"}
    for path, found in fields.items():
        if not found.kinds:
            continue  # nothing but null
        name = path.replace(".", "_").replace("/", "_")
        name = f"field{name}" if name.startswith("__") else name
        name = name if name not in taken else f"{name}_{len(taken)}"
        taken.add(name)
        table = _type_of(path, found)
        if name != path:
            table["from"] = path
        if found.count < good:
            table["required"] = False
        elif table["dtype"] == "datetime64[ns]" and not found.goes_back:
            table["sorted"] = True
        yield name, table


def _type_of(path: str, found: _Found) -> dict[str, Any]:
    match sorted(found.kinds):
        case ["int"] if _TIMELY.search(path) and len(found.units) == 1 and "" not in found.units:
            return {"dtype": "datetime64[ns]", "unit": next(iter(found.units))}
        case ["int"]:
            return {"dtype": "i8"}
        case ["bool"]:
            return {"dtype": "bool"}
        case ["time"]:
            return {"dtype": "datetime64[ns]"}
        case kinds if set(kinds) <= {"int", "float", "number"}:
            return {"dtype": "f8"}
    return {"dtype": "string"}


def _document(
    broker: str, topic: str, target: str, columns: Sequence[tuple[str, dict[str, Any]]], good: int, bad: int
) -> str:
    seen = f"# Proposed from {good} records" + (f"; {bad} more are no JSON objects" if bad else "")
    lines = [
        seen,
        "[source]",
        f"broker = {_text(broker)}",
        f"topics = [{_text(topic)}]",
        "",
        "[decode]",
        'format = "json"',
        "",
        "[columns]",
        *(f"{_key(name)} = {_value(table)}" for name, table in columns),
        "",
        "[target]",
        f"url = {_text(target)}",
        "commit = { seconds = 1.0 }",
    ]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    r"""Return a text as TOML writes it: as JSON does, but for what is beyond 16 bits, and DEL.

    >>> _text("a\"\n\x7f")
    '"a\\"\\n\\u007f"'
    """
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(table: Mapping[str, Any]) -> str:
    if len(table) == 1:
        return _text(table["dtype"])
    told = {
        name: _text(value) if isinstance(value, str) else json.dumps(value) for name, value in table.items()
    }
    return "{ " + ", ".join(f"{name} = {value}" for name, value in told.items()) + " }"
