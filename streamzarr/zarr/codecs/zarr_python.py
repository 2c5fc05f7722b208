# ruff: noqa: D102 - methods are documented by the classes of codecs.base
"""Codecs that packages made for zarr-python, by its entry points ``zarr.codecs``.

Source: https://zarr.readthedocs.io/en/stable/user-guide/extending/ , "Custom codecs"
Such a class derives from one of three of ``zarr.abc.codec``, which says what kind of step it is; anything
else is refused. zarr-python is imported by the package that has the codec, never by us alone. What comes out
is checked, but how much it allocates on the way is its own affair.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np

from streamzarr.errors import CodecError
from streamzarr.limits import Limits
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs import bounded
from streamzarr.zarr.codecs.base import (
    ArrayArray,
    ArrayBytes,
    Bound,
    BytesBytes,
    ChunkSpec,
    Codec,
    NDArray,
    as_buffer,
    worst_compression,
)


def codec_of_zarr_python(name: str, theirs: Any) -> type[Codec]:
    """Return our class for the codec class `theirs` of zarr-python, known to metadata as `name`.

    Raises
    ------
    TypeError
        It is not a class of one of the three kinds.
    """
    from zarr.abc import codec as kinds

    ours: type[_Foreign]
    for kind, ours in (
        (kinds.ArrayArrayCodec, ZarrPythonFilter),
        (kinds.ArrayBytesCodec, ZarrPythonSerializer),
        (kinds.BytesBytesCodec, ZarrPythonCompressor),
    ):
        if isinstance(theirs, type) and issubclass(theirs, kind):
            found: Any = theirs
            return _named(name, found, ours)
    raise TypeError(f"expected a class derived from one of zarr.abc.codec, got {theirs!r}")


@cache
def _named(name: str, theirs: Any, ours: type[_Foreign]) -> type[_Foreign]:
    return type(f"{ours.__name__}_{theirs.__name__}", (ours,), {"name": name, "theirs": theirs})


def _restore(name: str, codec: Any, spec: Any) -> Codec:
    restored: Any = codec_of_zarr_python(name, type(codec))
    codec_restored: Codec = restored(codec, spec)
    return codec_restored


@dataclass(frozen=True)
class _Foreign(Codec):
    theirs: ClassVar[Any]

    codec: Any
    spec: Any = None
    """What zarr-python calls the form of a chunk; None until the codec is adapted."""

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        return cls(cls.theirs.from_dict({"name": cls.name, "configuration": configuration}))

    def configuration(self) -> dict[str, Any]:
        return dict(self.codec.to_dict().get("configuration", {}))

    def adapted(self, spec: ChunkSpec, limits: Limits) -> Self:
        theirs = _spec(spec)
        return replace(self, codec=self.codec.evolve_from_array_spec(theirs), spec=theirs)

    def _run(self, step: str, value: Any) -> Any:
        """Run one of their coroutines, or what stands behind it where that is a plain function."""
        try:
            plain: Callable[..., Any] | None = getattr(self.codec, f"_{step}_sync", None)
            if plain is not None:
                return plain(value, self.spec)
            from zarr.core.sync import sync

            started: Coroutine[Any, Any, Any] = getattr(self.codec, f"_{step}_single")(value, self.spec)
            return sync(started)
        except bounded.FAILURES as error:
            raise CodecError(f"{self.name}: {error}") from error

    def __reduce__(self) -> tuple[Callable[..., Codec], tuple[Any, ...]]:
        return _restore, (self.name, self.codec, self.spec)


class ZarrPythonFilter(_Foreign, ArrayArray):
    """A step of zarr-python's from array to array."""

    def encoded_spec(self, spec: ChunkSpec) -> ChunkSpec:
        found = self.codec.resolve_metadata(_spec(spec))
        dtype = found.dtype.to_native_dtype()
        return ChunkSpec(tuple(found.shape), dtype, dtype.type(found.fill_value))

    def encode(self, array: NDArray) -> NDArray:
        return _array(self._run("encode", _nd_buffer(array)))

    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        return _expected(self.name, _array(self._run("decode", _nd_buffer(array))), spec)


class ZarrPythonSerializer(_Foreign, ArrayBytes):
    """A step of zarr-python's from array to bytes."""

    def encoded_size(self, spec: ChunkSpec) -> int | None:
        if not self.codec.is_fixed_size or spec.nbytes is None:
            return None
        return int(self.codec.compute_encoded_size(spec.nbytes, self.spec))

    def encode(self, array: NDArray, spec: ChunkSpec) -> BytesLike:
        return _bytes(self._run("encode", _nd_buffer(np.ascontiguousarray(array))))

    def decode(self, data: BytesLike, spec: ChunkSpec) -> NDArray:
        return _expected(self.name, _array(self._run("decode", _buffer(data))), spec)


class ZarrPythonCompressor(_Foreign, BytesBytes):
    """A step of zarr-python's from bytes to bytes."""

    def encoded_bound(self, bound: Bound) -> Bound:
        if self.codec.is_fixed_size:
            return Bound(int(self.codec.compute_encoded_size(bound.size, self.spec)), bound.exact)
        return worst_compression(bound)

    def encode(self, data: BytesLike) -> BytesLike:
        return _bytes(self._run("encode", _buffer(data)))

    def decode(self, data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
        decoded = _bytes(self._run("decode", _buffer(data)))
        if not bound.admits(len(decoded)):
            raise CodecError(f"{self.name}: decoded to {len(decoded)} bytes, expected {bound}")
        return decoded


def _spec(spec: ChunkSpec) -> Any:
    from zarr.core.array_spec import ArrayConfig, ArraySpec
    from zarr.core.buffer import default_buffer_prototype
    from zarr.dtype import parse_dtype

    dtype: Any = parse_dtype(spec.dtype, zarr_format=3)
    config = ArrayConfig(order="C", write_empty_chunks=True)
    return ArraySpec(spec.shape, dtype, spec.fill, config, default_buffer_prototype())


def _buffer(data: BytesLike) -> Any:
    from zarr.core.buffer import default_buffer_prototype

    return default_buffer_prototype().buffer.from_bytes(data)


def _nd_buffer(array: NDArray) -> Any:
    from zarr.core.buffer import default_buffer_prototype

    return default_buffer_prototype().nd_buffer.from_numpy_array(array)


def _bytes(value: Any) -> BytesLike:
    return as_buffer(np.ascontiguousarray(value.as_numpy_array()))


def _array(value: Any) -> NDArray:
    return np.asarray(value.as_numpy_array())


def _expected(name: str, array: NDArray, spec: ChunkSpec) -> NDArray:
    if array.size != spec.size or array.dtype.newbyteorder("=") != spec.dtype.newbyteorder("="):
        raise CodecError(
            f"{name}: decoded to {array.size} {array.dtype} values, expected {spec.size} of {spec.dtype}"
        )
    return array.reshape(spec.shape).astype(spec.dtype, copy=False)
