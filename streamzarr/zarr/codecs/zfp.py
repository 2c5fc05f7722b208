# ruff: noqa: D102 - methods are documented by the classes of codecs.base
"""``zfp``, and what ``numcodecs.zfpy`` decodes: numbers in blocks of 4 along each of up to four axes.

Sources: https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/zfp ; https://zfp.readthedocs.io
``{"name": "zfp", "configuration": {"mode": "fixed_accuracy", "tolerance": 0.05}}``

The C library trusts its input: it reads on past the end of a stream that was cut, and makes what a header
asks for. So a stream is decoded with room behind it for as much as its blocks can take, and twice, with other
bits there: if that makes a difference, something is missing. ``expert`` mode, which the package zfpy cannot
set, is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from streamzarr.errors import CodecError
from streamzarr.limits import Limits
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs.base import FAILURES, ArrayBytes, ChunkSpec, NDArray

_PARAMETERS = {
    "reversible": None,
    "fixed_accuracy": "tolerance",
    "fixed_rate": "rate",
    "fixed_precision": "precision",
}
_MOST_BITS = 128
"""For each element, of a rate that could be meant; no type has more than 64."""
_NATIVE = ("i4", "i8", "f4", "f8")
_PROMOTED = {"i1": "i4", "i2": "i4", "u1": "i4", "u2": "i4", "u4": "i4", "u8": "i8", "f2": "f4", "E": "f4"}


def check_rate(rate: float) -> None:
    """Check that a rate asks for no memory at will; ``ValueError`` when it does."""
    if rate > _MOST_BITS:
        raise ValueError(f"expected a rate of at most {_MOST_BITS} bits for each element, got {rate!r}")


@dataclass(frozen=True, slots=True)
class ZfpCodec(ArrayBytes):
    """zfp, without a header. `mode` is the registry's, `parameter` its one number; None if it has none."""

    name: ClassVar[str] = "zfp"
    needs: ClassVar[str] = "zfpy"

    mode: str
    parameter: float | None = None

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        mode = configuration.get("mode")
        if mode == "expert":
            raise ValueError("mode 'expert' is not supported: the package zfpy has no way to set it")
        if mode not in _PARAMETERS:
            raise ValueError(f"expected a mode of {sorted(_PARAMETERS)}, got {mode!r}")
        key = _PARAMETERS[mode]
        if configuration.keys() != {"mode"} | ({key} if key else set()):
            raise ValueError(f"mode {mode!r} takes {key or 'nothing else'}, got {configuration!r}")
        if key is None:
            return cls(mode)
        number = configuration[key]
        whole = key == "precision"
        if (
            isinstance(number, bool)
            or not isinstance(number, int if whole else int | float)
            or not number > 0
        ):
            raise ValueError(
                f"expected {key} as a positive {'integer' if whole else 'number'}, got {number!r}"
            )
        check_rate(number if key == "rate" else 0)
        return cls(mode, number)

    def configuration(self) -> dict[str, Any]:
        key = _PARAMETERS[self.mode]
        return {"mode": self.mode} | ({key: self.parameter} if key else {})

    def adapted(self, spec: ChunkSpec, limits: Limits) -> Self:
        if spec.dtype.names is not None or _native(spec.dtype) is None:
            raise ValueError(f"zfp has no {spec.dtype}")
        if len(spec.shape) > 4:
            raise ValueError(f"zfp has up to 4 dimensions, got chunks of {spec.shape}")
        _zfpy()
        return self

    def encoded_size(self, spec: ChunkSpec) -> int | None:
        return None

    @property
    def _keywords(self) -> dict[str, Any]:
        key = _PARAMETERS[self.mode]
        return {key: self.parameter} if key else {}

    def encode(self, array: NDArray, spec: ChunkSpec) -> BytesLike:
        native = np.ascontiguousarray(_promoted(array)).reshape(array.shape or 1)
        if not array.size:
            return b""
        try:
            encoded: bytes = _zfpy().compress_numpy(native, write_header=False, **self._keywords)
        except FAILURES as error:
            raise CodecError(f"zfp: cannot encode {array.dtype} values: {error}") from error
        return encoded

    def decode(self, data: BytesLike, spec: ChunkSpec) -> NDArray:
        if not spec.size:
            return np.empty(spec.shape, spec.dtype)
        native, zfpy = _native(spec.dtype), _zfpy()
        assert native is not None
        shape = spec.shape or (1,)
        kind = zfpy.dtype_to_ztype(native.type)
        rate = (self.parameter or 0) if self.mode == "fixed_rate" else 0

        def decompress(stream: bytes) -> NDArray:
            decoded: NDArray = zfpy._decompress(stream, kind, shape, **self._keywords)
            return decoded

        least = math.ceil(rate * 4 ** len(shape))
        decoded = _whole("zfp", decompress, data, _room(shape, native, least))
        return _demoted(decoded, spec.dtype).reshape(spec.shape)


def decode_headed(data: BytesLike, spec: ChunkSpec) -> NDArray:
    """Return the array of `spec` in a stream that begins with zfp's own header, as zfpy writes it."""
    zfpy = _zfpy()
    if not spec.size:
        return np.empty(spec.shape, spec.dtype)
    try:
        header, again = (zfpy.header(bytes(data[:64]) + fill * 64) for fill in (b"\0", b"\xff"))
    except FAILURES as error:
        raise CodecError(f"zfpy: {error}; got {len(data)} bytes") from error
    if header != again:
        raise CodecError(f"zfpy: the stream ends before its header does; got {len(data)} bytes")
    shape = tuple(header[axis] for axis in ("nw", "nz", "ny", "nx") if header[axis])
    dtype = np.dtype(header["type"])
    if math.prod(shape) != spec.size or dtype != spec.dtype:
        raise CodecError(f"zfpy: decodes to {shape} {dtype} values, expected {spec.shape} of {spec.dtype}")
    room = 32 + _room(shape, dtype, header["config"]["expert"]["minbits"])
    return _whole("zfpy", zfpy.decompress_numpy, data, room).reshape(spec.shape)


def _zfpy() -> Any:
    try:
        import zfpy
    except ImportError:
        raise ValueError("needs the package zfpy: pip install 'streamzarr[zfp]'") from None
    return zfpy


def _room(shape: tuple[int, ...], dtype: np.dtype[Any], least: int) -> int:
    """Return how many bytes the decoder can read for an array, if each block has `least` bits or more."""
    elements = 4 ** len(shape)
    most = 2 * 8 * dtype.itemsize * elements + 64  # of each plane of bits, the bits and as many tests
    if least > most:
        raise CodecError(f"zfp: blocks of {least} bits, at most {most} expected")
    room: int = math.prod(-(-n // 4) for n in shape) * most // 8 + 64
    return room


def _whole(name: str, decompress: Callable[[bytes], NDArray], data: BytesLike, room: int) -> NDArray:
    """Decode a stream, if nothing behind its end has a part in the result."""
    if len(data) > room:
        raise CodecError(f"{name}: got {len(data)} bytes, expected at most {room}")
    try:
        decoded, again = (decompress(bytes(data) + fill * (room - len(data))) for fill in (b"\0", b"\xff"))
    except FAILURES as error:
        raise CodecError(f"{name}: {error}; got {len(data)} bytes") from error
    if decoded.tobytes() != again.tobytes():
        raise CodecError(f"{name}: the stream ends before its values do; got {len(data)} bytes")
    return decoded


def _native(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """Return the type in which zfp has values of `dtype`; None when it has none."""
    code = "E" if dtype.name == "bfloat16" else f"{dtype.kind}{dtype.itemsize}"
    native = code if code in _NATIVE else _PROMOTED.get(code)
    return None if native is None else np.dtype(native)


def _promoted(array: NDArray) -> NDArray:
    """Return values as zfp's own functions promote them; numbers that these would clamp are refused."""
    dtype = array.dtype
    native = _native(dtype)
    assert native is not None
    if dtype.kind in "iu" and dtype.itemsize < 4:
        bits = 8 * dtype.itemsize
        offset = 1 << (bits - 1) if dtype.kind == "u" else 0
        promoted: NDArray = (array.astype("i4") - offset) << (31 - bits)
        return promoted
    if dtype.kind == "u" and array.size and array.max() > np.iinfo(native).max:
        raise CodecError(f"zfp: cannot encode {dtype} values above {np.iinfo(native).max}")
    return array.astype(native, copy=False)


def _demoted(array: NDArray, dtype: np.dtype[Any]) -> NDArray:
    if dtype.kind in "iu" and dtype.itemsize < 4:
        bits, bounds = 8 * dtype.itemsize, np.iinfo(dtype)
        offset = 1 << (bits - 1) if dtype.kind == "u" else 0
        clipped: NDArray = np.clip((array >> (31 - bits)) + offset, bounds.min, bounds.max)
        return clipped.astype(dtype)
    return (np.maximum(array, 0) if dtype.kind == "u" else array).astype(dtype, copy=False)
