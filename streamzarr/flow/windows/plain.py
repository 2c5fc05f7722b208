"""Plain data as MessagePack: what a window's state is stored as. No code in data.

MessagePack has no tuples, arrays of numbers, or keys but texts that come back as they were; those travel as
extensions, so that what is read is what was written, to the type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np

from streamzarr.errors import ConfigError, MessageError, describe

Hook = Callable[[Any], Any]

_TUPLE, _PAIRS, _ARRAY, _SCALAR, _OWN, _SET, _BIG, _TEXT = range(1, 9)
_DTYPES: Final = "biufcMmSU"
"""Kinds of numpy dtypes that are plain."""
MAX_DEPTH: Final = 50
_FLAT: Final = frozenset({int, float, str, bytes, bool, type(None)})

_encoder = msgspec.msgpack.Encoder()


class Plain:
    """Writes and reads plain data; `encode` makes a user's own type plain, `decode` makes it again.

    Numbers, text, bytes, ``None``, lists, tuples, sets, dicts, and numpy arrays and scalars are plain.

    Examples
    --------
    >>> plain = Plain()
    >>> plain.loads(plain.dumps({"bar": (1.5, [2, b"x"]), 7: np.arange(3)}))
    {'bar': (1.5, [2, b'x']), 7: array([0, 1, 2])}
    """

    def __init__(self, encode: Hook | None = None, decode: Hook | None = None) -> None:
        self._encode, self._decode = encode, decode
        self._decoder = msgspec.msgpack.Decoder(ext_hook=self._extension)
        self._depth = 0

    def dumps(self, value: Any) -> bytes:
        """Return `value` as bytes.

        Raises
        ------
        streamzarr.errors.ConfigError
            It is not plain, and there is no `encode`; or it is nested too deeply.
        """
        return _encoder.encode(self._lower(value, 0))

    def loads(self, data: bytes | memoryview) -> Any:
        """Return what was written.

        Raises
        ------
        streamzarr.errors.MessageError
            These bytes are not what :meth:`dumps` writes.
        """
        try:
            return self._decoder.decode(data)
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
            raise MessageError(f"stored state cannot be read: {error}") from error

    def _lower(self, value: Any, depth: int) -> Any:
        """Return `value` as what MessagePack has."""
        kind = type(value)
        if kind in _FLAT:
            if kind is int and not -(2**63) <= value < 2**64:
                return msgspec.msgpack.Ext(_BIG, f"{value:x}".encode())
            if kind is str and not _is_unicode(value):
                return msgspec.msgpack.Ext(_TEXT, value.encode("utf-8", "surrogatepass"))
            return value
        if depth > MAX_DEPTH:
            raise ConfigError(f"state is nested more than {MAX_DEPTH} deep, expected plain data")
        if kind is list:
            return [self._lower(each, depth + 1) for each in value]
        if kind is tuple:
            return self._extended(_TUPLE, [self._lower(each, depth + 1) for each in value])
        if kind in (set, frozenset):
            return self._extended(
                _SET, [kind is frozenset, *(self._lower(each, depth + 1) for each in value)]
            )
        if kind is dict:
            if all(type(name) is str and _is_unicode(name) for name in value):
                return {name: self._lower(each, depth + 1) for name, each in value.items()}
            flat = [self._lower(part, depth + 1) for pair in value.items() for part in pair]
            return self._extended(_PAIRS, flat)
        if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in _DTYPES:
            code = _ARRAY if isinstance(value, np.ndarray) else _SCALAR
            return self._extended(code, [value.dtype.str, list(value.shape), value.tobytes()])
        return self._extended(_OWN, self._lower(self._encoded(value), depth + 1))

    def _encoded(self, value: Any) -> Any:
        """Return what the user's function makes of a value that is not plain."""
        name = _name(value)
        if self._encode is None:
            raise ConfigError(
                f"{name} is not plain data, expected numbers, text, bytes, None, lists, tuples, sets, dicts "
                "or numpy arrays, or encode= and decode= that make it so"
            )
        try:
            encoded = self._encode(value)
        except Exception as error:
            raise ConfigError(f"encode= raised {describe(error)} for {name}") from error
        if encoded is value:
            raise ConfigError(f"encode= returned the {name} that it was given, expected plain data")
        return encoded

    @staticmethod
    def _extended(code: int, value: Any) -> msgspec.msgpack.Ext:
        return msgspec.msgpack.Ext(code, _encoder.encode(value))

    def _extension(self, code: int, data: memoryview) -> Any:
        self._depth += 1
        try:
            if self._depth > MAX_DEPTH + 2:
                raise ValueError("it is nested too deeply")
            return self._read(code, data)
        finally:
            self._depth -= 1

    def _read(self, code: int, data: memoryview) -> Any:
        if code == _BIG:
            return int(bytes(data), 16)
        if code == _TEXT:
            return bytes(data).decode("utf-8", "surrogatepass")
        value = self._decoder.decode(data)
        if code == _TUPLE:
            return tuple(value)
        if code == _SET:
            return (frozenset if value[0] else set)(value[1:])
        if code == _PAIRS:
            return dict(zip(value[::2], value[1::2], strict=True))
        if code in (_ARRAY, _SCALAR):
            return _array(*value, scalar=code == _SCALAR)
        if code == _OWN and self._decode is not None:
            try:
                return self._decode(value)
            except Exception as error:
                raise ValueError(f"decode= raised {describe(error)}") from error
        raise ValueError(f"extension {code}" + (", which needs decode=" if code == _OWN else ""))


def _name(value: Any) -> str:
    """Return the name of the type of a value; of arrays it is their dtype that makes the difference."""
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{name} of dtype {value.dtype}" if isinstance(value, np.ndarray | np.generic) else name


def _is_unicode(text: str) -> bool:
    """Tell whether `text` is without the half characters that JSON may bring, and UTF-8 does not have."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _array(dtype: str, shape: list[int], data: bytes, *, scalar: bool) -> Any:
    kind = np.dtype(dtype)
    if kind.kind not in _DTYPES or kind.hasobject:
        raise ValueError(f"dtype {dtype!r}")
    if scalar and not kind.itemsize:  # an empty text, which numpy does not read
        return kind.type()
    array = np.frombuffer(data, kind).reshape(shape).copy()
    return array[()] if scalar else array
