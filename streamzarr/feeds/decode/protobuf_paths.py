"""Where in messages of Protobuf the records are, and the values of columns, found by descriptors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.feeds.decode.values import MISSING

TIMESTAMP: Final = "google.protobuf.Timestamp"
DURATION: Final = "google.protobuf.Duration"
FLOAT: Final = "google.protobuf.FloatValue"
_WRAPPERS: Final = "google/protobuf/wrappers.proto"
_MAX_SECONDS: Final = 2**63 // 10**9 - 1
"""Of a time that is told to the nanosecond."""
_MICROSECONDS: Final = 2**63 // 10**6 - 1
"""Seconds of a time that is told to the microsecond."""
Get = Callable[[Any], Any]


def _field(kind: Any, step: str, where: str) -> Any:
    field = None if kind is None else kind.fields_by_name.get(step)
    if field is None:
        has = "no fields" if kind is None else ", ".join(kind.fields_by_name)
        raise ConfigError(f"protobuf: {where}: no field {step!r}, but {has}")
    return field


def find_records(kind: Any, steps: Sequence[str]) -> tuple[Get, Any]:
    """Return what finds the records in a message, and their type."""
    for step in steps:
        field = _field(kind, step, "records")
        kind = field.message_type
        if step is steps[-1] and (not field.is_repeated or kind is None or _is_map(field)):
            raise ConfigError(f"protobuf: records: {step!r} is no repeated field of messages")
        if step is not steps[-1] and field.is_repeated:
            raise ConfigError(f"protobuf: records: {step!r} is repeated, but not at the end of the path")

    def get(message: Any) -> Any:
        for step in steps:
            message = getattr(message, step)
        return message

    return get, kind


def find_value(kind: Any, steps: Sequence[str], column: str, as_text: bool) -> tuple[Get, bool]:
    """Return what finds the value of a column in a record, and whether it is a float of 32 bits.

    What it finds is MISSING where there is none.
    """
    where = f"column {column!r}"
    parts: list[Get] = []
    field: Any = None
    several = False
    for step in steps:
        if several:
            field, kind = _element(field, step, where, parts)
            several = False
            continue
        field = _field(kind, step, where)
        kind, several = field.message_type, field.is_repeated
        parts.append(_part(field))
    if several:
        raise ConfigError(
            f"protobuf: {where}: {steps[-1]!r} is repeated, expected a position or key behind it"
        )
    if kind is not None:
        parts.append(_value(kind, f"{where}: {'.'.join(steps)}"))
    elif as_text and field.enum_type is not None:
        names = {value.number: value.name for value in field.enum_type.values}
        parts.append(lambda number: names.get(number, str(number)))
    narrow = field.type == field.TYPE_FLOAT if kind is None else kind.full_name == FLOAT
    return _chain(parts), narrow


def _is_map(field: Any) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def _element(field: Any, step: str, where: str, parts: list[Get]) -> tuple[Any, Any]:
    """Add what finds one element of a repeated field or a map; return what describes it, and its type."""
    from google.protobuf import message_factory

    if not _is_map(field):
        if not step.isdecimal():
            raise ConfigError(
                f"protobuf: {where}: {field.name!r} is repeated, expected a position, got {step!r}"
            )
        parts.append(_at(int(step)))
        return field, field.message_type
    entry = field.message_type.fields_by_name
    key: Any = step
    if entry["key"].type != entry["key"].TYPE_STRING:
        key = int(step) if step.lstrip("-").isdecimal() else None
    try:
        getattr(message_factory.GetMessageClass(field.containing_type)(), field.name).get(key)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"protobuf: {where}: {field.name!r} has no key {step!r}: {error}") from error
    parts.append(lambda values: values.get(key, MISSING))
    return entry["value"], entry["value"].message_type


def _chain(parts: Sequence[Get]) -> Get:
    if len(parts) == 1:
        return parts[0]

    def get(found: Any) -> Any:
        for part in parts:
            found = part(found)
            if found is MISSING:
                break
        return found

    return get


def _part(field: Any) -> Get:
    get, name = attrgetter(field.name), field.name
    if field.is_repeated or not field.has_presence:
        return get
    return lambda message: get(message) if message.HasField(name) else MISSING


def _at(position: int) -> Get:
    return lambda values: values[position] if position < len(values) else MISSING


def _value(kind: Any, where: str) -> Get:
    """Return what makes a value of a message that stands for one."""
    if kind.file.name == _WRAPPERS:
        return attrgetter("value")
    if kind.full_name not in (TIMESTAMP, DURATION):
        raise ConfigError(f"protobuf: {where} is a {kind.full_name}, expected a value")
    return _time(np.datetime64 if kind.full_name == TIMESTAMP else np.timedelta64)


def _time(make: Callable[[int, Any], Any]) -> Get:
    def get(time: Any) -> Any:
        if abs(time.nanos) < 10**9:
            if abs(time.seconds) <= _MAX_SECONDS:
                return make(time.seconds * 10**9 + time.nanos, "ns")
            if abs(time.seconds) <= _MICROSECONDS:
                return make(time.seconds * 10**6 + time.nanos // 1000, "us")
        return f"{time.seconds} s and {time.nanos} ns"  # no time that a column can hold

    return get
