"""MessagePack: one record a message, an array of records, or records below a path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.layout import Unknown
from streamzarr.feeds.decode.msgpack_times import ExactTimes
from streamzarr.feeds.decode.objects import ObjectDecoder
from streamzarr.feeds.decode.typed import TypedLayout
from streamzarr.limits import DEFAULT_LIMITS, Limits


def msgpack_decoder(
    columns: Mapping[str, ColumnSpec],
    *,
    records: str | None = None,
    unknown: Unknown = "ignore",
    limits: Limits = DEFAULT_LIMITS,
) -> ObjectDecoder:
    r"""Return a decoder of MessagePack; options are those of ``JsonDecoder``.

    Its own times are exact to the nanosecond. Other extensions are bad.

    Examples
    --------
    >>> decode = msgpack_decoder({"bid": ColumnSpec("bid", "f8")})
    >>> decode([b"\x81\xa3bid\x05", b"\xc1"]).bad
    {1: "msgpack: MessagePack data is malformed: invalid opcode '\\xc1' (byte 0)"}
    """
    layout = TypedLayout(columns, records, unknown, limits.max_message_records)
    decoder = msgspec.msgpack.Decoder(layout.message_type, ext_hook=_extension)
    parse = ExactTimes(layout, decoder.decode, _extension)
    return ObjectDecoder(
        "msgpack",
        parse,
        layout,
        (msgspec.MsgspecError, UnicodeDecodeError, ValueError, TypeError, OverflowError),
        limits.max_message_bytes,
        parse.all,
    )


def _extension(code: int, data: memoryview) -> Any:
    raise ValueError(f"got an extension of type {code}, expected values of MessagePack itself")
