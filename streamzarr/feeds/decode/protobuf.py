"""Protobuf: a message type out of a descriptor set; the bytes of a message never choose one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, Literal

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.assemble import assemble
from streamzarr.feeds.decode.base import OBJECT_BYTES, Decoded, TooMuchError
from streamzarr.feeds.decode.convert import Conversion
from streamzarr.feeds.decode.objects import Malformed
from streamzarr.feeds.decode.paths import Path
from streamzarr.feeds.decode.protobuf_paths import find_records, find_value
from streamzarr.feeds.decode.registry import numbered
from streamzarr.feeds.decode.values import MISSING, Values
from streamzarr.limits import DEFAULT_LIMITS, Limits


class ProtobufDecoder:
    """Decodes Protobuf. Owned by one thread.

    A field without presence (a plain one of proto3) that was not sent has its default, as Protobuf means it;
    any other is no value. ``Timestamp`` and ``Duration`` are times, wrappers as ``DoubleValue`` their values,
    enumerations numbers, or names in columns of texts.

    Parameters
    ----------
    columns
        By name; paths lead through fields, by numbers into repeated ones, by keys into maps.
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
            self._records, record = find_records(kind, Path.of(records).steps)
        self._whole = {name: path.whole for name, path in paths.items()}
        self._get = {
            name: find_value(
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
        found = []
        for name, (get, narrow) in self._get.items():
            values = Values.of(list(map(get, wholes if self._whole[name] else records)))
            found.append(values.narrowed() if narrow else values)
        return found

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
