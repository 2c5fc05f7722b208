"""JSON documents: read with bounds, as they come from anywhere; written so that they can be read again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np

from streamzarr.errors import LimitExceededError, MetadataError
from streamzarr.limits import DEFAULT_LIMITS, Limits

BLANKS_COUNT = 64
"""Blanks that a document may get at its end (``nodes.overwrite``); it keeps room for them."""
CONSOLIDATED_DEPTH = 4
"""How much deeper attributes lie in consolidated metadata, at most, than in themselves."""

INDENTED_BYTES = 64 << 10
"""Documents above this size, which nobody reads, are written without indentation: that is four times quicker,
and what reads them has half of it to read."""


_CONTAINERS = (dict, list, tuple)


class ReadFloat(float):
    """A NaN or an infinity that a document holds: it may stay, wherever the document's values are carried."""


def parse_document(data: bytes, where: str, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """Return the JSON object in `data`; bare ``NaN`` and ``Infinity`` are read (trap T19).

    >>> parse_document(b'{"zarr_format": 3}', "a.zarr/zarr.json")
    {'zarr_format': 3}

    Raises
    ------
    streamzarr.errors.MetadataError
        Not UTF-8, not JSON, or not an object.
    streamzarr.errors.LimitExceededError
        Larger or deeper than `limits` allow.
    """
    if len(data) > limits.max_metadata_bytes:
        raise LimitExceededError(
            f"{where}: {len(data)} bytes of metadata, at most {limits.max_metadata_bytes} allowed"
        )
    try:
        document = _loads(data)
    except RecursionError:
        raise LimitExceededError(f"{where}: nested deeper than {limits.max_metadata_depth} levels") from None
    except ValueError as error:  # includes UnicodeDecodeError and JSONDecodeError
        raise MetadataError(f"{where}: not a JSON document: {error}") from error
    if not isinstance(document, dict):
        raise MetadataError(f"{where}: expected a JSON object, got {type(document).__name__}")
    if data.count(b"{") + data.count(b"[") > limits.max_metadata_depth:
        _check_depth(document, where, limits.max_metadata_depth)
    return document


def dump_document(
    document: dict[str, Any], where: str, limits: Limits = DEFAULT_LIMITS, *, indent: int | None = 2
) -> bytes:
    """Return `document` as stored; key order and unicode are kept.

    Without `indent` it takes a tenth of the time, for what is written again and again.

    Raises
    ------
    streamzarr.errors.MetadataError
        It holds what JSON cannot hold, new NaN and infinities included: zarr-python writes those bare, which
        other readers refuse (trap T19). Those that were read from a document may stay.
    streamzarr.errors.LimitExceededError
        It is larger or deeper than `limits` allow, and so could not be read again.
    """
    text = _dumps(document, where)
    if indent is not None and len(text) <= INDENTED_BYTES:
        text = json.dumps(document, indent=indent, default=_plain)
    data = text.encode()
    if len(data) + BLANKS_COUNT > limits.max_metadata_bytes:
        raise LimitExceededError(
            f"{where}: {len(data)} bytes of metadata, at most {limits.max_metadata_bytes} can be read again"
        )
    if text.count("{") + text.count("[") > limits.max_metadata_depth:
        _check_depth(document, where, limits.max_metadata_depth)
    return data


def plain_attributes(
    attributes: Mapping[str, Any] | None, where: str, limits: Limits = DEFAULT_LIMITS
) -> dict[str, Any]:
    """Return attributes as they will be read again: numpy's values as numbers and lists, tuples as lists.

    >>> import numpy
    >>> plain_attributes({"range": numpy.arange(2), "scale": numpy.float32(0.5), "size": (3, 4)}, "a.zarr")
    {'range': [0, 1], 'scale': 0.5, 'size': [3, 4]}

    Raises
    ------
    streamzarr.errors.MetadataError
        JSON cannot hold them; see :func:`dump_document`.
    streamzarr.errors.LimitExceededError
        They are nested too deep to be read again, or to be consolidated.
    """
    plain: dict[str, Any] = _loads(_dumps(dict(attributes or {}), where))
    _check_depth(plain, f"{where}: attributes", limits.max_metadata_depth - CONSOLIDATED_DEPTH)
    return plain


def _loads(data: bytes | str) -> Any:
    return json.loads(data, parse_constant=ReadFloat, parse_float=_float)  # 1e999 is infinite, too


def _float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else ReadFloat(value)


def same_document(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two documents are written alike: equal values need not be, such as 1, 1.0 and True.

    >>> same_document({"a": [1]}, {"a": [True]}), same_document({"a": (1,)}, {"a": [1]})
    (False, True)
    """
    return [*one] == [*other] and all(map(_same, one.values(), other.values()))


def _same(one: Any, other: Any) -> bool:
    if one is other:  # so is most of consolidated metadata
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return same_document(one, other)
    return json.dumps(one, default=_plain) == json.dumps(other, default=_plain)


def _dumps(document: dict[str, Any], where: str) -> str:
    try:
        return json.dumps(document, allow_nan=False, default=_plain)
    except ValueError:  # not finite, or a circle
        pass
    except (TypeError, RecursionError) as error:
        raise MetadataError(f"{where}: cannot be written as JSON: {error}") from error
    try:
        text = json.dumps(document, default=_plain)
    except (ValueError, TypeError, RecursionError) as error:
        raise MetadataError(f"{where}: cannot be written as JSON: {error}") from error
    if (new := _new_non_finite(document)) is not None:
        raise MetadataError(f"{where}: cannot be written as JSON: {new} is not finite")
    return text


def _plain(value: Any) -> Any:
    """Turn numpy scalars and arrays in attributes into what they hold."""
    if not isinstance(value, np.generic | np.ndarray):
        raise TypeError(f"{type(value).__name__} is not a JSON type")
    if value.dtype.kind in "mM":  # of which numpy makes dates or integers, as the unit is
        raise TypeError(f"{value.dtype} is not a JSON type; give text, or a number of units")
    return (value.astype(float) if value.dtype.char == "g" else value).tolist()


def _new_non_finite(document: Any) -> str | None:
    """Return where the first float is that JSON cannot hold, and that was not read from a document."""
    left: list[tuple[str, Any]] = [("", document)]
    while left:
        path, value = left.pop()
        if isinstance(value, np.generic | np.ndarray):
            value = _plain(value)
        if isinstance(value, dict):
            left += reversed([(f"{path}/{key}", each) for key, each in value.items()])
        elif isinstance(value, list | tuple):
            left += reversed([(f"{path}/{at}", each) for at, each in enumerate(value)])
        elif isinstance(value, float) and not math.isfinite(value) and not isinstance(value, ReadFloat):
            return f"{path}: {value!r}"
    return None


def _check_depth(document: Any, where: str, most: int) -> None:
    level = [document]
    for _ in range(most):
        inside = chain.from_iterable([node.values() if isinstance(node, dict) else node for node in level])
        level = [child for child in inside if isinstance(child, _CONTAINERS)]
        if not level:
            return
    raise LimitExceededError(f"{where}: nested deeper than {most} levels")
