# ruff: noqa: D102 - methods are documented by the classes of codecs.base
"""``zstd``, ``gzip`` and ``blosc``: the compressors of the v3 specification.

Specifications: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/gzip/index.html (and blosc);
https://github.com/zarr-developers/zarr-extensions/tree/main/codecs/zstd
``{"name": "zstd", "configuration": {"level": 0, "checksum": false}}``
``{"name": "gzip", "configuration": {"level": 5}}``
``{"name": "blosc", "configuration": {"typesize": 4, "cname": "zstd", "clevel": 5, "shuffle": "shuffle",
"blocksize": 0}}``
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from streamzarr.errors import CodecError
from streamzarr.limits import Limits
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs import blosc_buffers, bounded, deflated, zstd_frames
from streamzarr.zarr.codecs.base import Bound, BytesBytes, ChunkSpec, worst_compression
from streamzarr.zarr.codecs.library import numcodecs


def _integer(configuration: dict[str, Any], key: str, low: int, high: int, default: int | None = None) -> int:
    value = configuration.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"expected {key} from {low} to {high}, got {value!r}")
    return value


def _only(configuration: dict[str, Any], *known: str) -> None:
    if unknown := configuration.keys() - set(known):
        raise ValueError(f"unknown keys {sorted(unknown)}; known: {sorted(known)}")


@dataclass(frozen=True, slots=True)
class ZstdCodec(BytesBytes):
    """Zstandard; `level` -131072 to 22, 0 means libzstd's default (3)."""

    name: ClassVar[str] = "zstd"
    level: int = 0
    checksum: bool = False

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        _only(configuration, "level", "checksum")
        checksum = configuration.get("checksum", False)
        if not isinstance(checksum, bool):
            raise ValueError(f"expected checksum true or false, got {checksum!r}")
        return cls(_integer(configuration, "level", -131072, 22, 0), checksum)

    def configuration(self) -> dict[str, Any]:
        return {"level": self.level, "checksum": self.checksum}

    def encoded_bound(self, bound: Bound) -> Bound:
        return worst_compression(bound)

    def encode(self, data: BytesLike) -> BytesLike:
        return zstd_frames.compress(data, self.level, self.checksum)

    def decode(self, data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
        return bounded.zstd(data, bound, out)


@dataclass(frozen=True, slots=True)
class GzipCodec(BytesBytes):
    """Gzip; `level` 0 to 9. Writes no time of day, so equal chunks have equal bytes (promise P5)."""

    name: ClassVar[str] = "gzip"
    level: int = 5

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        _only(configuration, "level")
        return cls(_integer(configuration, "level", 0, 9, 5))

    def configuration(self) -> dict[str, Any]:
        return {"level": self.level}

    def encoded_bound(self, bound: Bound) -> Bound:
        return worst_compression(bound)

    def encode(self, data: BytesLike) -> BytesLike:
        return deflated.compress_gzip(data, self.level)

    def decode(self, data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
        return bounded.gzip(data, bound, out)


_SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")
_CNAMES = ("lz4", "lz4hc", "blosclz", "zstd", "snappy", "zlib")


_THREADS = ("nthreads", "numthreads", "numinternalthreads")


def without_threads(configuration: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration of Blosc without the threads that some writers note, no part of the format.

    >>> without_threads({"clevel": 5, "numThreads": 4})
    {'clevel': 5}
    """
    return {key: value for key, value in configuration.items() if key.lower() not in _THREADS}


@dataclass(frozen=True, slots=True)
class BloscCodec(BytesBytes):
    """Blosc 1. `typesize` (bytes) and `shuffle` None: taken from the data type (trap T28)."""

    name: ClassVar[str] = "blosc"
    typesize: int | None = None
    cname: str = "zstd"
    clevel: int = 5
    shuffle: str | None = None
    blocksize: int = 0

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        configuration = without_threads(configuration)
        _only(configuration, "typesize", "cname", "clevel", "shuffle", "blocksize")
        cname, shuffle = configuration.get("cname", "zstd"), configuration.get("shuffle")
        if cname not in _CNAMES or shuffle not in (*_SHUFFLES, None):
            raise ValueError(
                f"expected cname in {_CNAMES} and shuffle in {_SHUFFLES}, got {cname!r}, {shuffle!r}"
            )
        typesize = _integer(configuration, "typesize", 1, 2**31 - 1) if "typesize" in configuration else None
        return cls(
            typesize,
            cname,
            _integer(configuration, "clevel", 0, 9, 5),
            shuffle,
            _integer(configuration, "blocksize", 0, 2**31 - 1, 0),
        )

    def configuration(self) -> dict[str, Any]:
        return {
            "typesize": self.typesize,
            "cname": self.cname,
            "clevel": self.clevel,
            "shuffle": self.shuffle,
            "blocksize": self.blocksize,
        }

    @property
    def is_light(self) -> bool:
        return self.cname in blosc_buffers.LIGHT

    def adapted(self, spec: ChunkSpec, limits: Limits) -> Self:
        itemsize = 1 if spec.nbytes is None else spec.dtype.itemsize
        typesize = self.typesize or itemsize
        return replace(
            self,
            typesize=typesize,
            shuffle=self.shuffle or ("bitshuffle" if itemsize == 1 else "shuffle"),
        )

    def encoded_bound(self, bound: Bound) -> Bound:
        return worst_compression(bound)

    def encode(self, data: BytesLike) -> BytesLike:
        # Blosc's own function: the codec class would look at the buffer once more.
        try:
            encoded: bytes = numcodecs().blosc.compress(
                data,
                self.cname.encode(),
                self.clevel,
                _SHUFFLES.index(self.shuffle or "noshuffle"),
                self.blocksize,
                self.typesize or 1,
            )
        except ValueError as error:  # a compressor that this build of Blosc does not have, as snappy
            raise CodecError(f"blosc: {error}") from error
        return encoded

    def decode(self, data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
        return bounded.blosc(data, bound, out)
