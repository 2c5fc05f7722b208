"""Schemas of Avro as fastavro is to read by them: values as they were written, whatever they are called.

Times and texts of UUIDs are left as numbers and texts, decimals are exact, however many digits their schema
promises, and what stands for absent fields, which a message by that schema never lacks, is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any, Final

from streamzarr.feeds.decode.avro_times import TIMES
from streamzarr.feeds.decode.kinds.number_texts import MAX_DIGITS

DECIMAL: Final = "streamzarr-decimal"
"""The logical type by which decimals are read here."""
MAX_BYTES: Final = 160
"""Bytes of a decimal: as many digits as a number in a text may have. Work grows with their square."""
_EXACT: Final = Context(prec=2 * MAX_DIGITS)


def plain(node: Any) -> Any:
    """Return a schema, or a part of one, as fastavro is to read by it.

    Examples
    --------
    >>> plain({"type": "long", "logicalType": "timestamp-micros"})
    {'type': 'long'}

    Raises
    ------
    ValueError
        A decimal has no scale that can be meant.
    """
    if isinstance(node, list):
        return [plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if key != "logicalType"}
    if (logical := _logical(node)) is not None:
        kept["logicalType"] = logical
    for key in ("type", "items", "values"):
        if key in kept:
            kept[key] = plain(kept[key])
    if isinstance(kept.get("fields"), list):
        kept["fields"] = [_field(each) for each in kept["fields"]]
    return kept


def register() -> None:
    """Make the reader of decimals known to fastavro."""
    from fastavro.read import LOGICAL_READERS

    LOGICAL_READERS[f"bytes-{DECIMAL}"] = LOGICAL_READERS[f"fixed-{DECIMAL}"] = _decimal


def _field(node: Any) -> Any:
    return {key: value for key, value in plain(node).items() if key != "default"}


def _logical(node: Mapping[str, Any]) -> Any:
    """Return the logical type that is left of what a type states."""
    logical, kind = node.get("logicalType"), node.get("type")
    if (isinstance(logical, str) and logical in TIMES) or (logical == "uuid" and kind == "string"):
        return None
    if logical != "decimal" or kind not in ("bytes", "fixed"):
        return logical
    scale = node.get("scale", 0)
    if not isinstance(scale, int) or isinstance(scale, bool) or not 0 <= scale <= MAX_DIGITS:
        raise ValueError(f"a decimal has the scale {scale!r}, expected 0 to {MAX_DIGITS}")
    return DECIMAL


def _decimal(data: Any, schema: dict[Any, Any] | None, _: dict[Any, Any] | None = None) -> Decimal:
    if len(data) > MAX_BYTES:
        raise ValueError(f"got a decimal of {len(data)} bytes, expected {MAX_BYTES} at most")
    scale = 0 if schema is None else schema.get("scale", 0)
    return Decimal(int.from_bytes(data, "big", signed=True)).scaleb(-scale, _EXACT)
