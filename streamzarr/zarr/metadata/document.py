"""JSON documents: read with bounds, because they come from anywhere; written as zarr-python writes them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from streamzarr.errors import LimitExceededError, MetadataError
from streamzarr.limits import DEFAULT_LIMITS, Limits


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
        document = json.loads(data)
    except RecursionError:
        raise LimitExceededError(f"{where}: nested deeper than {limits.max_metadata_depth} levels") from None
    except ValueError as error:  # includes UnicodeDecodeError and JSONDecodeError
        raise MetadataError(f"{where}: not a JSON document: {error}") from error
    if not isinstance(document, dict):
        raise MetadataError(f"{where}: expected a JSON object, got {type(document).__name__}")
    if data.count(b"{") + data.count(b"[") > limits.max_metadata_depth:
        _check_depth(document, where, limits.max_metadata_depth)
    return document


def dump_document(document: dict[str, Any], where: str, *, indent: int | None = 2) -> bytes:
    """Return `document` as stored; key order and unicode are kept.

    Without `indent` it takes a tenth of the time, for what is written again and again.

    Raises
    ------
    streamzarr.errors.MetadataError
        It holds what JSON cannot hold, NaN and infinities included: zarr-python writes those bare, which
        other readers refuse (trap T19).
    """
    try:
        return json.dumps(document, indent=indent, allow_nan=False, default=_plain).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise MetadataError(f"{where}: cannot be written as JSON: {_culprit(document) or error}") from error


def _plain(value: Any) -> Any:
    """Turn numpy scalars and arrays in attributes into what they hold."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a JSON type")


def _culprit(document: Any, path: str = "", depth: int = 0) -> str:
    """Return where the first float that JSON cannot hold is, or an empty string."""
    if isinstance(document, float) and not math.isfinite(document):
        return f"{path}: {document!r} is not finite"
    if depth < 64 and isinstance(document, dict | list):
        items = document.items() if isinstance(document, dict) else enumerate(document)
        return next(filter(None, (_culprit(value, f"{path}/{key}", depth + 1) for key, value in items)), "")
    return ""


def _check_depth(document: Any, where: str, most: int) -> None:
    level = [document]
    for _ in range(most):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise LimitExceededError(f"{where}: nested deeper than {most} levels")
