"""Parameters of a transform: what may be one, and how it travels, so that it arrives exactly as given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np

from streamzarr.errors import ConfigError, MessageError
from streamzarr.limits import DEFAULT_LIMITS

MAX_DEPTH: Final = 32
"""Lists within lists, at most."""

_FLOAT: Final = "float"
"""JSON has no NaN and no infinities; they travel as ``{"float": "nan"}``. Nothing else is an object."""
_TAKEN: Final = "text, a float, an integer of 64 bits, a bool, None or a list of these"


def encode_params(params: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return parameters as they travel in JSON.

    numpy scalars are given as the Python value that they equal.

    Raises
    ------
    streamzarr.errors.ConfigError
        One of them would not arrive as it was given.

    Examples
    --------
    >>> encode_params({"low": np.float32(0.5), "high": math.inf, "window": [3, 3]})
    {'low': 0.5, 'high': {'float': 'inf'}, 'window': [3, 3]}
    >>> encode_params({"window": (3, 3)})
    Traceback (most recent call last):
    ...
    streamzarr.errors.ConfigError: params: 'window' is a tuple, which would arrive as a list: give a list
    """
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        raise ConfigError(f"params is {params!r:.80}, expected a mapping from keywords to values")
    for name in params:
        if type(name) is not str or not name.isidentifier():
            raise ConfigError(f"params: the key {name!r:.80} is no keyword, expected a name as in Python")
    encoded = {name: _encode(name, value, 0) for name, value in params.items()}
    if (size := len(msgspec.json.encode(encoded))) > DEFAULT_LIMITS.max_task_bytes:
        raise ConfigError(
            f"params take {size} bytes, and each task carries them, expected at most "
            f"{DEFAULT_LIMITS.max_task_bytes}; give the transform smaller params"
        )
    return encoded


def decode_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as they were given; ``MessageError`` for what :func:`encode_params` never makes.

    Examples
    --------
    >>> decode_params({"high": {"float": "inf"}, "window": [3, 3]})
    {'high': inf, 'window': [3, 3]}
    """
    return {name: _decode(name, value, 0) for name, value in params.items()}


def _encode(name: str, value: Any, depth: int) -> Any:
    if isinstance(value, np.bool_ | np.integer | np.floating | np.str_) and value.dtype.kind != "m":
        value = value.item()
    kind = type(value)
    if kind is list:
        if depth >= MAX_DEPTH:
            raise ConfigError(f"params: {name!r} has lists within lists, expected at most {MAX_DEPTH} levels")
        return [_encode(name, each, depth + 1) for each in value]
    if kind is float:
        return value if math.isfinite(value) else {_FLOAT: repr(value)}
    if kind is bool or value is None:
        return value
    if kind is int and -(2**63) <= value < 2**64:
        return value
    if kind is str and _is_encodable(value):
        return value
    raise ConfigError(f"params: {name!r} is {_refusal(value)}")


def _refusal(value: Any) -> str:
    kind = type(value).__name__
    if isinstance(value, tuple):
        return f"a {kind}, which would arrive as a list: give a list"
    if type(value) is int:
        return f"an integer of {value.bit_length()} bits, expected at most 64: give text"
    if type(value) is str:
        return "text that UTF-8 cannot carry: it holds half of a surrogate pair"
    return f"of type {kind}, expected {_TAKEN}"


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _decode(name: str, value: Any, depth: int) -> Any:
    if isinstance(value, list) and depth < MAX_DEPTH:
        return [_decode(name, each, depth + 1) for each in value]
    if isinstance(value, dict | list):
        found = value.get(_FLOAT) if isinstance(value, dict) and len(value) == 1 else None
        if not isinstance(found, str) or found not in ("nan", "inf", "-inf"):
            raise MessageError(f"parameter {name!r} is {value!r:.80}, expected {_TAKEN}")
        return float(found)
    return value
