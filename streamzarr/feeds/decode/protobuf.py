"""Protobuf: a message type out of a descriptor set; the bytes of a message never choose one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, Final, Literal

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.assemble import assemble
from streamzarr.feeds.decode.base import OBJECT_BYTES, Decoded, TooMuchError
from streamzarr.feeds.decode.convert import Conversion
from streamzarr.feeds.decode.objects import Malformed
from streamzarr.feeds.decode.paths import Path
from streamzarr.feeds.decode.registry import numbered
from streamzarr.feeds.decode.values import MISSING, Values
from streamzarr.limits import DEFAULT_LIMITS, Limits

TIMESTAMP: Final = "google.protobuf.Timestamp"
DURATION: Final = "google.protobuf.Duration"
_MAX_SECONDS: Final = 2**63 // 10**9 - 1
_Get = Callable[[Any], Any]


class ProtobufDecoder:
    """Decodes Protobuf. Owned by one thread.

    A field without presence (a plain one of proto3) that was not sent has its default, as Protobuf means it;
    any other is no value. ``Timestamp`` and ``Duration`` are times, enumerations are numbers, or names in
    columns of texts.

    Parameters
    ----------
    columns
        By name; paths lead through fields, and by numbers into repeated ones.
    descriptor
        A ``FileDescriptorSet``, or the path of a file with one: ``protoc --include_imports
        --descriptor_set_out=ticks.desc ticks.proto``.
    message
        Full name of the message type, as ``market.Tick``.
    records
        Path to a repeated field of messages, which are the records.
    framing
        ``confluent``: the number of a schema and the place of the message in it are before each message.
    limits
        Bounds of a message.
    """

    def __init__(
        self,
        columns: Mapping[str, ColumnSpec],
        *,
        descriptor: str | bytes,
        message: str,
        records: str | None = None,
        framing: Literal["none", "confluent"] = "none",
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        if framing not in ("none", "confluent"):
            raise ConfigError(f"protobuf: framing is {framing!r}, expected 'none' or 'confluent'")
        kind, self._message = _message_type(descriptor, message)
        self._framed, self._limits = framing == "confluent", limits
        self._place = _place(kind)
        self._conversions = {name: Conversion(spec) for name, spec in columns.items()}
        paths = {name: Path.of(spec.path) for name, spec in columns.items()}
        self._records, record = None, kind
        if records is not None:
            self._records, record = _records(kind, Path.of(records).steps)
        self._whole = {name: path.whole for name, path in paths.items()}
        self._get = {
            name: _getter(
                kind if path.whole else record, path.steps, name, columns[name].dtype.kind in "TUSO"
            )
            for name, path in paths.items()
        }

    def __call__(self, values: Sequence[bytes | None]) -> Decoded:
        """Return the rows of `values`."""
        from google.protobuf.message import DecodeError

        messages, bad = [], {}
        for index, value in enumerate(values):
            try:
                messages.append(self._message.FromString(self._body(value)))
            except (Malformed, DecodeError) as error:
                messages.append(MISSING)
                bad[index] = f"protobuf: {error or 'not a message of this type'}"
        if self._records is None and not bad:
            return assemble(self._conversions, self._values(messages, messages), None, {}, len(values))
        counts = np.zeros(len(values), np.intp)
        records: list[Any] = []
        for index, message in enumerate(messages):
            if message is MISSING:
                continue
            some = [message] if self._records is None else self._records(message)
            if len(some) > self._limits.max_message_records:
                most = self._limits.max_message_records
                bad[index] = f"records: got {len(some)} of them, expected {most} at most"
                continue
            records += some
            TooMuchError.check(len(records) * len(self._get) * OBJECT_BYTES, len(values))
            counts[index] = len(some)
        origin = np.repeat(np.arange(len(values)), counts)
        wholes = [messages[index] for index in origin.tolist()]
        return assemble(self._conversions, self._values(records, wholes), origin, bad, len(values))

    def _values(self, records: Sequence[Any], wholes: Sequence[Any]) -> list[Values]:
        return [
            Values.of(list(map(get, wholes if self._whole[name] else records)))
            for name, get in self._get.items()
        ]

    def _body(self, value: bytes | None) -> bytes:
        if value is None:
            raise Malformed("no value")
        if len(value) > self._limits.max_message_bytes:
            raise Malformed(f"got {len(value)} bytes, expected {self._limits.max_message_bytes} at most")
        if not self._framed:
            return value
        _, rest = numbered(value)
        for place in self._place:
            if rest.startswith(place):
                return rest[len(place) :]
        raise Malformed(f"is of another message of its schema, 0x{rest[:4].hex()}")


def _message_type(descriptor: str | bytes, name: str) -> tuple[Any, Any]:
    """Return descriptor and class of a message type."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise ConfigError(
            "decode: format 'protobuf' needs the package protobuf: pip install 'streamzarr[protobuf]'"
        ) from error
    where = "descriptor" if isinstance(descriptor, bytes) else str(descriptor)
    try:
        data = descriptor if isinstance(descriptor, bytes) else FilePath(descriptor).read_bytes()
        files = descriptor_pb2.FileDescriptorSet.FromString(data).file
        pool = descriptor_pool.DescriptorPool()
        for each in files:
            pool.Add(each)
        kind = pool.FindMessageTypeByName(name)
        return kind, message_factory.GetMessageClass(kind)
    except KeyError:
        found = ", ".join(f"{each.package}.{m.name}".lstrip(".") for each in files for m in each.message_type)
        raise ConfigError(f"protobuf: no message {name!r} in {where}, which has {found or 'none'}") from None
    except (OSError, DecodeError, TypeError) as error:
        raise ConfigError(
            f"protobuf: {where} is no descriptor set, as protoc --include_imports --descriptor_set_out "
            f"writes: {error}"
        ) from error


def _place(kind: Any) -> tuple[bytes, ...]:
    """Return how Confluent's framing says which message of a file this is."""
    indexes: list[int] = []
    while kind is not None:
        above = kind.containing_type
        among = kind.file.message_types_by_name.values() if above is None else above.nested_types
        indexes.insert(0, [each.full_name for each in among].index(kind.full_name))
        kind = above
    written = _zigzag(len(indexes)) + b"".join(map(_zigzag, indexes))
    return (b"\0", written) if indexes == [0] else (written,)


def _zigzag(number: int) -> bytes:
    number, out = 2 * number, bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _field(kind: Any, step: str, where: str) -> Any:
    field = None if kind is None else kind.fields_by_name.get(step)
    if field is None:
        has = "no fields" if kind is None else ", ".join(kind.fields_by_name)
        raise ConfigError(f"protobuf: {where}: no field {step!r}, but {has}")
    return field


def _records(kind: Any, steps: Sequence[str]) -> tuple[_Get, Any]:
    """Return what finds the records in a message, and their type."""
    for step in steps:
        field = _field(kind, step, "records")
        kind = field.message_type
        if step is steps[-1] and not (field.is_repeated and kind is not None):
            raise ConfigError(f"protobuf: records: {step!r} is no repeated field of messages")
        if step is not steps[-1] and field.is_repeated:
            raise ConfigError(f"protobuf: records: {step!r} is repeated, but not at the end of the path")

    def get(message: Any) -> Any:
        for step in steps:
            message = getattr(message, step)
        return message

    return get, kind


def _getter(kind: Any, steps: Sequence[str], column: str, as_text: bool) -> _Get:
    """Return what finds the value of a column in a record."""
    where = f"column {column!r}"
    parts: list[_Get] = []
    field: Any = None
    for step in steps:
        if field is not None and field.is_repeated and step.isdecimal():
            parts.append(_element(int(step)))
            field, kind = None, field.message_type
            last = kind
            continue
        field = _field(kind, step, where)
        kind = field.message_type
        last = field
        parts.append(_part(field))
    if field is not None and field.is_repeated:
        raise ConfigError(f"protobuf: {where}: {steps[-1]!r} is repeated, expected a position behind it")
    if kind is not None:
        if kind.full_name not in (TIMESTAMP, DURATION):
            raise ConfigError(f"protobuf: {where}: {'.'.join(steps)} is a {kind.full_name}, expected a value")
        parts.append(_time(kind.full_name == TIMESTAMP))
    elif as_text and getattr(last, "enum_type", None) is not None:
        names = {value.number: value.name for value in last.enum_type.values}
        parts.append(lambda number: names.get(number, str(number)))
    return _chain(parts)


def _chain(parts: Sequence[_Get]) -> _Get:
    if len(parts) == 1:
        return parts[0]

    def get(found: Any) -> Any:
        for part in parts:
            found = part(found)
            if found is MISSING:
                break
        return found

    return get


def _part(field: Any) -> _Get:
    from operator import attrgetter

    get, name = attrgetter(field.name), field.name
    if field.is_repeated or not field.has_presence:
        return get
    return lambda message: get(message) if message.HasField(name) else MISSING


def _element(position: int) -> _Get:
    return lambda values: values[position] if position < len(values) else MISSING


def _time(of_day: bool) -> _Get:
    make = np.datetime64 if of_day else np.timedelta64

    def get(time: Any) -> Any:
        if abs(time.seconds) > _MAX_SECONDS or abs(time.nanos) >= 10**9:
            return f"{time.seconds} s and {time.nanos} ns"  # no time that a column can hold
        return make(time.seconds * 10**9 + time.nanos, "ns")

    return get
