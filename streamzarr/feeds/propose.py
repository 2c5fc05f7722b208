"""A configuration for a topic, from a look at its records: a beginning to be read and changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import msgspec

from streamzarr.errors import ConfigError, MessageError
from streamzarr.feeds.columns import OFFSET
from streamzarr.feeds.fitting import Fitting, fitting
from streamzarr.feeds.replayed.names import OWN
from streamzarr.queue import Broker
from streamzarr.runtime import SYSTEM, Runtime
from streamzarr.stream.schema import check_name

RECORDS: Final = 1000
"""Records that are looked at, of each partition the last ones."""
PATIENCE: Final = 1.0
"""Seconds to wait for another record."""

SHOWN: Final = 20
"""Fields that are left out and told, at most."""
MAX_PATH: Final = 80
"""Letters of their paths that are told."""
HELP: Final = "write [decode] and [columns] yourself, see docs/decoders.md"

_UNPATHED: Final = re.compile(r"[.\\]|^@|^\$$")
"""In a name: no path leads there as it is."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]+")
"""A path that can be told as it is; others may have the end of a line in them."""
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(slots=True)
class _Found:
    """The values at one path, in the order in which they came."""

    values: list[Any] = field(default_factory=list)
    partitions: list[int] = field(default_factory=list)
    objects: int = 0
    arrays: int = 0

    def add(self, value: Any, partition: int) -> None:
        if isinstance(value, dict):
            self.objects += 1
        elif isinstance(value, list):
            self.arrays += 1
        elif value is not None:
            self.values.append(value)
            self.partitions.append(partition)


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    table: Mapping[str, Any]
    remark: str
    """What is to be known of it; empty: nothing."""


def propose(broker: Broker, topic: str, target: str, runtime: Runtime = SYSTEM) -> str:
    """Return a TOML configuration for `topic`, whose records are JSON objects.

    Columns are what the last records have, of dtypes that hold them all as they are, or with a remark. What
    cannot be one is named. What some records lack is not required; a time that never goes back, and is none
    of the far future, is sorted.

    Raises
    ------
    streamzarr.errors.TopicNotFoundError
        There is no such topic.
    streamzarr.errors.MessageError
        It has no records, none of those looked at is a JSON object, or they have no fields for columns.
    """
    total, fields, bad = 0, dict[str, _Found](), 0
    left_out: dict[str, str] = {}
    for partition, value in _last_records(broker, topic):
        total += 1
        try:
            document = msgspec.json.decode(value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            document = None
        if not isinstance(document, dict):
            bad += 1
            continue
        for path, each in _leaves(document, left_out):
            fields.setdefault(path, _Found()).add(each, partition)
    good = total - bad
    if not total:
        raise MessageError(f"{broker}: topic {topic!r} has no records to look at")
    if not good:
        raise MessageError(f"{broker}: of {total} records of topic {topic!r} none is a JSON object; {HELP}")
    columns = list(_columns(fields, good, runtime.wall_ns(), left_out))
    if not columns:
        raise MessageError(f"{broker}: records of topic {topic!r} have no fields that can be columns; {HELP}")
    return _document(str(broker), topic, target, columns, good, bad, left_out)


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


def _leaves(
    document: Mapping[str, Any], left_out: dict[str, str], above: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield the paths of a document that can be columns, and what is there; note what is `left_out`."""
    for name, value in document.items():
        if name and not _UNPATHED.search(name):
            yield f"{above}{name}", value
            if isinstance(value, dict):
                yield from _leaves(value, left_out, f"{above}{name}.")
        else:
            left_out[f"{above}{name}"] = "by its name"


def _columns(
    fields: Mapping[str, _Found], good: int, now: int, left_out: dict[str, str]
) -> Iterator[_Column]:
    """Yield the columns; note what is `left_out`, and why."""
    taken = {OFFSET.removeprefix("@"), *OWN}
    plain = _plain(fields)
    for path, found in fields.items():
        if found.arrays and not found.values:
            left_out[path] = "array"
        elif not found.values and not found.objects:
            left_out[path] = "null"
        elif found.values and not plain.isdisjoint(_above(path)):
            left_out[path] = "in an object"
    for path in plain:
        if not plain.isdisjoint(_above(path)):
            continue  # what is above it is the more frequent
        found = fields[path]
        name = _name(path, taken)
        try:
            check_name(name)
        except ConfigError:
            left_out[path] = "by its name"  # such as one of 300 letters
            continue
        taken.add(name)
        fit = fitting(path, found.values, found.partitions, now)
        clash = next((each for each in _above(path) if fields[each].values or fields[each].arrays), "")
        remark = _remark(fit, bool(found.objects or found.arrays), clash)
        yield _Column(name, _table(name, path, fit, len(found.values) == good), remark)


def _plain(fields: Mapping[str, _Found]) -> Set[str]:
    """Return the paths whose values can be columns, in their order.

    Where some records have a value and others an object with values, no record fits columns of both: it is
    the more frequent that counts.
    """
    above = {each for path, found in fields.items() if found.values for each in _above(path)}
    return {
        path: None
        for path, found in fields.items()
        if found.values and (path not in above or len(found.values) >= found.objects)
    }.keys()


def _above(path: str) -> list[str]:
    """Return the paths of the objects that one is in.

    >>> _above("quote.bid.price")
    ['quote', 'quote.bid']
    """
    return [path[:at] for at, each in enumerate(path) if each == "."]


def _name(path: str, taken: set[str]) -> str:
    """Return the name of the column of a path."""
    name = path.replace(".", "_").replace("/", "_")
    name = f"field{name}" if name.startswith("__") else name
    number, plain = 2, name
    while name in taken:
        name, number = f"{plain}_{number}", number + 1
    return name


def _table(name: str, path: str, fit: Fitting, everywhere: bool) -> dict[str, Any]:
    table: dict[str, Any] = {"dtype": fit.dtype}
    if fit.unit is not None:
        table["unit"] = fit.unit
    if name != path:
        table["from"] = path
    if not everywhere:
        table["required"] = False
    elif fit.is_sorted:
        table["sorted"] = True
    return table


def _remark(fit: Fitting, others: bool, clash: str) -> str:
    if clash:
        return f"some records have no object at {_text(clash)}, which this is in: such are bad"
    told = "objects and arrays" if others and fit.holds_all else "values of other types" if others else ""
    if not fit.holds_all:
        told = "values of other types"
    return f"some records have {told} here: such are bad" if told else ""


def _document(
    broker: str,
    topic: str,
    target: str,
    columns: Sequence[_Column],
    good: int,
    bad: int,
    left_out: Mapping[str, str],
) -> str:
    seen = f"# Proposed from {good} record{'' if good == 1 else 's'}"
    seen += f"; {bad} more are no JSON objects" if bad else ""
    lines = [
        seen,
        *_missed(left_out),
        "[source]",
        f"broker = {_text(broker)}",
        f"topics = [{_text(topic)}]",
        "",
        "[decode]",
        'format = "json"',
        "",
        "[columns]",
        *(line for each in columns for line in _lines(each)),
        "",
        "[target]",
        f"url = {_text(target)}",
        "commit = { seconds = 1.0 }",
    ]
    return "\n".join(lines) + "\n"


def _missed(left_out: Mapping[str, str]) -> Iterator[str]:
    """Yield the remark on what is in no column: nobody shall learn of it from an array that is not there."""
    if left_out:
        told = [f"{_cut(path)} ({why})" for path, why in islice(left_out.items(), SHOWN)]
        more = f", and {len(left_out) - SHOWN} more" if len(left_out) > SHOWN else ""
        yield f"# left out: {', '.join(told)}{more}; see docs/decoders.md"


def _cut(path: str) -> str:
    shown = path if len(path) <= MAX_PATH else f"{path[:MAX_PATH]}..."
    return shown if _PLAIN.fullmatch(shown) else _text(shown)


def _lines(column: _Column) -> Iterator[str]:
    if column.remark:
        yield f"# {column.remark}"
    yield f"{_key(column.name)} = {_value(column.table)}"


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
