"""``json2`` and ``vlen-array``, the filters of numcodecs for objects of Zarr v2, within bounds.

Source: https://numcodecs.readthedocs.io/en/stable/other/json.html and .../vlen.html
``json2``: the elements as nested lists, then dtype and shape, in one JSON text. numcodecs makes an array of
whatever shape is written there; here it has to be the chunk's, and the text no longer than a document.
"""

from __future__ import annotations

import codecs
import json
import math
from typing import Any

import numpy as np

from streamzarr.errors import CodecError
from streamzarr.limits import Limits
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs.base import FAILURES, ChunkSpec, NDArray

_ENCODINGS = ("ascii", "iso8859-1", "utf-8", "utf-16", "utf-32")
_MOST_BLANKS = 16


def check_json(config: dict[str, Any]) -> None:
    """Check what ``json2`` is told of its text; ``ValueError`` when it would not be JSON, or swell it."""
    encoding, indent = config.get("encoding", "utf-8"), config.get("indent")
    separators = config.get("separators") or (",", ":")
    if not isinstance(encoding, str) or codecs.lookup(encoding).name not in _ENCODINGS:
        raise ValueError(f"encoding: expected one of {', '.join(_ENCODINGS)}, got {encoding!r}")
    blanks = indent * " " if isinstance(indent, int) and indent <= _MOST_BLANKS else indent or ""
    parts: list[Any] = [blanks, *separators] if len(separators) == 2 else [None]
    if not all(isinstance(part, str) and len(part) <= _MOST_BLANKS for part in parts):
        raise ValueError(f"expected short indent and separators, got {indent!r} and {separators!r}")
    if [part.strip() for part in parts] != ["", ",", ":"]:
        raise ValueError(f"expected separators ',' and ':' among blanks, got {separators!r} and {indent!r}")


def check_text(data: BytesLike, limits: Limits) -> None:
    """Check that a ``json2`` text is not too long to be read."""
    if len(data) > limits.max_metadata_bytes:
        raise CodecError(f"json2: {len(data)} bytes of text, at most {limits.max_metadata_bytes} can be read")


def decode_json(config: dict[str, Any], data: BytesLike, spec: ChunkSpec, limits: Limits) -> NDArray:
    """Return the elements in a ``json2`` text, which must be those of one chunk of `spec`."""
    check_text(data, limits)
    try:
        text = bytes(data).decode(config.get("encoding", "utf-8"))
        items = json.loads(text, strict=config.get("strict", True))
        *elements, dtype, shape = items
        if np.dtype(dtype) != spec.dtype or math.prod(shape) != spec.size or min(shape, default=0) < 0:
            raise CodecError(f"json2: got {dtype} of shape {shape}, expected {spec.dtype} of {spec.shape}")
        found: NDArray = np.empty(spec.size, spec.dtype)
        for at, element in enumerate(_flat(elements, shape or [1])):
            found[at] = element
    except FAILURES as error:
        raise CodecError(f"json2: {error}; got {len(data)} bytes") from error
    return found


def _flat(elements: list[Any], shape: list[int]) -> list[Any]:
    """Return the elements of nested lists, which may be lists themselves."""
    if len(elements) != shape[0]:
        raise CodecError(f"json2: got {len(elements)} elements, expected {shape[0]}")
    for length in shape[1:]:
        if not all(isinstance(each, list) and len(each) == length for each in elements):
            raise CodecError(f"json2: the elements are not nested in shape {shape}")
        elements = [inner for each in elements for inner in each]
    return elements
