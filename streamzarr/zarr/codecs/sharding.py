# ruff: noqa: D102 - methods are documented by the classes of codecs.base
"""``sharding_indexed``: many chunks in one object, with an index of where each one is.

Specification: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
``{"name": "sharding_indexed", "configuration": {"chunk_shape": [32, 32], "codecs": [{"name": "bytes",
"configuration": {"endian": "little"}}], "index_codecs": [{"name": "bytes", "configuration": {"endian":
"little"}}, {"name": "crc32c"}], "index_location": "end"}}``

The index holds, in C order of the inner chunks, pairs of uint64: offset from the start of the shard, length;
2^64-1 twice for a chunk that is not stored and reads as fill. We write inner chunks in C order; other writers
have other orders (trap T15). A shard is written whole: it has one owner at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from streamzarr.errors import CodecError
from streamzarr.limits import Limits
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.casting import equals_everywhere
from streamzarr.zarr.codecs.base import ArrayBytes, ChunkSpec, Codec, NDArray
from streamzarr.zarr.codecs.chain import CodecChain, codec_chain
from streamzarr.zarr.codecs.crc32c import Crc32cCodec
from streamzarr.zarr.codecs.raw import BytesCodec
from streamzarr.zarr.codecs.registry import parse_codecs
from streamzarr.zarr.grids.grid import Grid, regular_grid

Location: TypeAlias = Literal["start", "end"]
InnerIndex: TypeAlias = tuple[int, ...]

_ABSENT = np.uint64(2**64 - 1)


@dataclass(frozen=True, slots=True)
class ShardLayout:
    """A sharding codec, resolved for shards of one form: what reading and writing parts of them needs."""

    spec: ChunkSpec
    inner: CodecChain
    index: CodecChain
    location: Location
    grid: Grid
    """The inner chunks of one shard."""
    index_nbytes: int

    @property
    def nested(self) -> ShardLayout | None:
        """How inner chunks are laid out that are shards themselves, with no codec around them."""
        codec = self.inner.array_bytes
        bare = not self.inner.array_array and not self.inner.bytes_bytes
        return codec.layout if bare and isinstance(codec, ShardingCodec) else None

    def decode_index(self, data: BytesLike) -> ShardIndex:
        """Return the index in its stored bytes, the first or last :attr:`index_nbytes` of a shard."""
        if len(data) != self.index_nbytes:
            raise CodecError(
                f"sharding_indexed: got {len(data)} bytes, expected an index of {self.index_nbytes} at the "
                f"{self.location}"
            )
        try:
            return ShardIndex(self.index.decode(data))
        except CodecError as error:
            raise type(error)(f"sharding_indexed: index: {error}") from error

    def encode_inner(self, block: NDArray) -> BytesLike | None:
        """Return the bytes of one inner chunk; None for one of nothing but fill, which is not stored."""
        return None if equals_everywhere(block, self.spec.fill) else self.inner.encode(block)

    def decode_inner(self, inner: InnerIndex, data: BytesLike, out: NDArray | None = None) -> NDArray:
        """Return one inner chunk; see :meth:`CodecChain.decode`."""
        try:
            return self.inner.decode(data, out)
        except CodecError as error:
            raise type(error)(f"sharding_indexed: inner chunk {inner}: {error}") from error

    def assemble(self, encoded: Mapping[InnerIndex, BytesLike]) -> bytes:
        """Return the shard that holds the given inner chunks, in C order."""
        entries = np.full((*self.grid.shape, 2), _ABSENT)
        position = self.index_nbytes if self.location == "start" else 0
        parts: list[BytesLike] = []
        for inner in sorted(encoded):
            data = memoryview(encoded[inner]).cast("B")
            entries[inner] = position, len(data)
            position += len(data)
            parts.append(data)
        index = self.index.encode(entries)
        return b"".join([index, *parts] if self.location == "start" else [*parts, index])

    def split(self, data: BytesLike) -> dict[InnerIndex, memoryview]:
        """Return the encoded inner chunks of a whole shard."""
        view = memoryview(data).cast("B")
        n = min(self.index_nbytes, len(view))
        index = self.decode_index(view[:n] if self.location == "start" else view[len(view) - n :])
        found: dict[InnerIndex, memoryview] = {}
        for inner in self.grid.indices():
            place = index.locate(inner)
            if place is not None:
                self.check(inner, place[1], len(view))
                found[inner] = view[slice(*place)]
        return found

    def check(self, inner: InnerIndex, stop: int, length: int) -> None:
        """Raise unless an inner chunk that ends at `stop` lies inside of a shard of `length` bytes."""
        if stop > length:
            raise CodecError(
                f"sharding_indexed: inner chunk {inner} ends at byte {stop}, but the shard has {length} bytes"
            )


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """Where each inner chunk of one shard is."""

    entries: npt.NDArray[np.uint64]

    def locate(self, inner: InnerIndex) -> tuple[int, int] | None:
        """Return the first byte of an inner chunk and the one after its last; None when it is not stored."""
        offset, nbytes = self.entries[inner].tolist()
        if offset == nbytes == 2**64 - 1:
            return None
        return offset, offset + nbytes


@dataclass(frozen=True, slots=True)
class ShardingCodec(ArrayBytes):
    """Inner chunks of `chunk_shape`, each through `codecs`."""

    name: ClassVar[str] = "sharding_indexed"
    splits: ClassVar[bool] = True

    chunk_shape: tuple[int, ...]
    codecs: tuple[Codec, ...] = (BytesCodec(),)
    index_codecs: tuple[Codec, ...] = (BytesCodec(), Crc32cCodec())
    index_location: Location = "end"
    _layout: ShardLayout | None = field(default=None, compare=False, repr=False)

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        known = {"chunk_shape", "codecs", "index_codecs", "index_location"}
        if configuration.keys() - known or not {"chunk_shape", "codecs"} <= configuration.keys():
            raise ValueError(f"expected the keys {sorted(known)}, got {sorted(configuration)}")
        shape, location = configuration["chunk_shape"], configuration.get("index_location", "end")
        if not isinstance(shape, list | tuple) or not all(type(n) is int and n > 0 for n in shape):
            raise ValueError(f"expected a chunk_shape of positive integers, got {shape!r}")
        if location not in ("start", "end"):
            raise ValueError(f"expected index_location 'start' or 'end', got {location!r}")
        index_codecs = configuration.get("index_codecs", [codec.to_json() for codec in _INDEX_CODECS])
        return cls(
            tuple(shape),
            tuple(parse_codecs(configuration["codecs"], "codecs")),
            tuple(parse_codecs(index_codecs, "index_codecs")),
            location,
        )

    def configuration(self) -> dict[str, Any]:
        return {
            "chunk_shape": list(self.chunk_shape),
            "codecs": [codec.to_json() for codec in self.codecs],
            "index_codecs": [codec.to_json() for codec in self.index_codecs],
            "index_location": self.index_location,
        }

    def adapted(self, spec: ChunkSpec, limits: Limits) -> Self:
        fits = len(self.chunk_shape) == len(spec.shape) and all(
            n % c == 0 for n, c in zip(spec.shape, self.chunk_shape, strict=True)
        )
        if not fits:
            raise ValueError(f"shards of {spec.shape} cannot be divided into chunks of {self.chunk_shape}")
        grid = regular_grid(spec.shape, self.chunk_shape)
        inner = codec_chain(
            self.codecs, replace(spec, shape=self.chunk_shape), where="inner codecs", limits=limits
        )
        entries = ChunkSpec((*grid.shape, 2), np.dtype("u8"), _ABSENT)
        index = codec_chain(self.index_codecs, entries, where="index_codecs", limits=limits)
        if index.encoded_size is None:
            raise ValueError("index_codecs must give an index of a fixed size")
        layout = ShardLayout(spec, inner, index, self.index_location, grid, index.encoded_size)
        return replace(self, codecs=inner.codecs, index_codecs=index.codecs, _layout=layout)

    @property
    def layout(self) -> ShardLayout:
        """What an adapted codec knows about its shards."""
        if self._layout is None:
            raise CodecError("sharding_indexed: the codec has not been adapted to an array")
        return self._layout

    def encoded_size(self, spec: ChunkSpec) -> int | None:
        return None

    def encode(self, array: NDArray, spec: ChunkSpec) -> BytesLike:
        layout = self.layout
        encoded = {
            inner: layout.encode_inner(array[layout.grid.slices(inner)]) for inner in layout.grid.indices()
        }
        return layout.assemble({inner: data for inner, data in encoded.items() if data is not None})

    def decode(self, data: BytesLike, spec: ChunkSpec) -> NDArray:
        layout = self.layout
        array = np.full(spec.shape, spec.fill, spec.dtype)
        for inner, stored in layout.split(data).items():
            array[layout.grid.slices(inner)] = layout.decode_inner(inner, stored)
        return array


_INDEX_CODECS: tuple[Codec, ...] = (BytesCodec(), Crc32cCodec())
