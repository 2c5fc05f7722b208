"""A chain of codecs, bound to the chunks of one array: array in, bytes out, and back.

Zarr v3 core specification, "Chunk encoding"; trap T14: array to array, then exactly one array to bytes, then
bytes to bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from streamzarr.errors import CodecError, DecompressionLimitError, LimitExceededError, MetadataError
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs.base import (
    ArrayArray,
    ArrayBytes,
    Bound,
    BytesBytes,
    ChunkSpec,
    Codec,
    NDArray,
    as_buffer,
    check_count,
)
from streamzarr.zarr.codecs.raw import BytesCodec

_SWELLING = 16
"""How much wider numbers may become on the way: bytes as complex ones, say."""
_AMPLE = 64 << 20
"""Bytes that take no memory worth a refusal; decoding has bounds of its own."""


@dataclass(frozen=True, slots=True)
class CodecChain:
    """The codecs of one array, resolved for chunks of `spec`. Thread-safe; never blocks on I/O.

    Examples
    --------
    >>> import numpy as np
    >>> from streamzarr.zarr.codecs import BytesCodec, ZstdCodec
    >>> chain = codec_chain([BytesCodec(), ZstdCodec()], ChunkSpec((1000,), np.dtype("f8"), np.float64(0)))
    >>> data = chain.encode(np.ones(1000))
    >>> len(data) < 100, chain.decode(data).sum()
    (True, np.float64(1000.0))
    """

    spec: ChunkSpec
    array_array: tuple[ArrayArray, ...]
    array_bytes: ArrayBytes
    bytes_bytes: tuple[BytesBytes, ...]
    limits: Limits = DEFAULT_LIMITS
    _specs: tuple[ChunkSpec, ...] = field(init=False, repr=False)
    """The form before each array to array codec, and before the array to bytes codec."""
    _bounds: tuple[Bound, ...] = field(init=False, repr=False)
    """What each bytes to bytes codec must decode to."""
    _encoded: Bound = field(init=False, repr=False)
    """How large an encoded chunk can be."""
    _least: int = field(init=False, repr=False)
    """Stored bytes below which a chunk is refused: it would decompress by more than the limits allow."""
    _direct: bool = field(init=False, repr=False)
    """Whether stored bytes, once decompressed, are the array as it lies in memory."""

    def __post_init__(self) -> None:
        specs = [self.spec]
        for step in self.array_array:
            specs.append(step.encoded_spec(specs[-1]))
        size = self.array_bytes.encoded_size(specs[-1])
        bounds = [
            Bound(self.limits.max_chunk_bytes, exact=False) if size is None else Bound(size, exact=True)
        ]
        for codec in self.bytes_bytes:
            bounds.append(codec.encoded_bound(bounds[-1]))
        serializer = self.array_bytes
        direct = (
            not self.array_array
            and bool(self.spec.nbytes)
            and isinstance(serializer, BytesCodec)
            and serializer.is_memory(self.spec.dtype)
        )
        compressed = bool(self.bytes_bytes) and not serializer.splits  # of a shard, most may be missing
        least = (size or 0) // self.limits.max_decompression_ratio if compressed else 0
        object.__setattr__(self, "_least", least)
        object.__setattr__(self, "_specs", tuple(specs))
        object.__setattr__(self, "_bounds", tuple(bounds[:-1]))
        object.__setattr__(self, "_encoded", bounds[-1])
        object.__setattr__(self, "_direct", direct)

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """Every codec in the order of encoding."""
        return (*self.array_array, self.array_bytes, *self.bytes_bytes)

    @property
    def decodes_in_place(self) -> bool:
        """Whether :meth:`decode_into` can be used: bytes, once decompressed, are the array in memory."""
        return self._direct and bool(self.bytes_bytes)

    @property
    def is_direct(self) -> bool:
        """Whether stored bytes, decompressed if need be, are the array as it lies in memory."""
        return self._direct

    @property
    def is_plain(self) -> bool:
        """Whether stored bytes are the array as it lies in memory, with no codec to run at all."""
        return self._direct and not self.bytes_bytes

    @property
    def is_light(self) -> bool:
        """Whether decoding costs little more than a copy."""
        return self._direct and all(codec.is_light for codec in self.bytes_bytes)

    @property
    def encoded_size(self) -> int | None:
        """Bytes of every encoded chunk; None when it varies."""
        return self._encoded.size if self._encoded.exact else None

    @property
    def encoded_room(self) -> int:
        """How many bytes an encoded chunk can have."""
        return self._encoded.size

    @property
    def most_stored(self) -> int:
        """Bytes of a stored chunk above which it is not read; ample, as other writers store otherwise."""
        return 2 * self._encoded.size + _AMPLE if self._direct else self.limits.max_chunk_bytes

    def encode(self, array: NDArray) -> BytesLike:
        """Return the bytes to store for `array`, which has the full chunk's shape; may share its memory.

        Raises
        ------
        streamzarr.errors.CodecError
            A codec cannot encode these values.
        """
        for step in self.array_array:
            array = step.encode(array)
        return self.compress(self.array_bytes.encode(array, self._specs[-1]))

    def compress(self, data: BytesLike) -> BytesLike:
        """Do the steps of :meth:`encode` from bytes to bytes: all there are, if :attr:`is_direct`."""
        for codec in self.bytes_bytes:
            data = codec.encode(data)
        return data

    def decode(self, data: BytesLike, out: NDArray | None = None) -> NDArray:
        """Return the chunk in `data`, with the full chunk's shape.

        The result may share memory with `data` and be read-only. If `out` is given, C-contiguous and of the
        chunk's shape and dtype, it may be used for the result: check by identity.

        Raises
        ------
        streamzarr.errors.CodecError
            `data` is corrupt, or does not decode to exactly one chunk (trap T2); as
            :class:`~streamzarr.errors.DecompressionLimitError` when it is far too small for that.
        """
        if out is not None and self.decodes_in_place:
            self.decode_into(data, as_buffer(out))
            return out
        if len(data) < self._least:
            raise self._bomb(len(data))
        most = len(data) * self.limits.max_decompression_ratio
        for position in range(len(self.bytes_bytes) - 1, -1, -1):
            bound = self._bounds[position]
            if not bound.exact and bound.size > most:
                bound = Bound(most, exact=False)
            data = self.bytes_bytes[position].decode(data, bound)
        array = self.array_bytes.decode(data, self._specs[-1])
        for position in range(len(self.array_array) - 1, -1, -1):
            array = self.array_array[position].decode(array, self._specs[position])
        return array

    def decode_into(self, data: BytesLike, out: memoryview) -> None:
        """Decode `data` into the bytes of one chunk; if :attr:`decodes_in_place`. Raises as `decode`."""
        if len(data) < self._least:
            raise self._bomb(len(data))
        for position in range(len(self.bytes_bytes) - 1, 0, -1):
            data = self.bytes_bytes[position].decode(data, self._bounds[position])
        data = self.bytes_bytes[0].decode(data, self._bounds[0], out)
        if data is not out:
            out[:] = data

    def _bomb(self, stored: int) -> DecompressionLimitError:
        return DecompressionLimitError(
            f"{stored} stored bytes for a chunk of {self._bounds[0].size}: more than "
            f"{self.limits.max_decompression_ratio} for each, which is the limit; see max_decompression_ratio"
        )


def check_swelling(spec: ChunkSpec, limits: Limits) -> None:
    """Check that a codec from array to array makes no array that is far larger than chunks may be."""
    if (spec.nbytes or 0) > _SWELLING * limits.max_chunk_bytes:
        raise ValueError(f"makes {spec.nbytes} bytes of a chunk, at most {limits.max_chunk_bytes} allowed")


def codec_chain(
    codecs: Sequence[Codec], spec: ChunkSpec, *, where: str = "codecs", limits: Limits = DEFAULT_LIMITS
) -> CodecChain:
    """Check the order of `codecs`, adapt each to the data it will see, and bind them to chunks of `spec`.

    Raises
    ------
    streamzarr.errors.MetadataError
        The codecs do not form a chain, or one cannot work on what the one before it gives.
    streamzarr.errors.LimitExceededError
        A chunk is larger than `limits` allow.
    """
    check_count(codecs, where)
    kinds = [0 if isinstance(c, ArrayArray) else 1 if isinstance(c, ArrayBytes) else 2 for c in codecs]
    names = [codec.name for codec in codecs]
    if kinds.count(1) != 1:
        raise MetadataError(
            f"{where}: {names}: expected exactly one array to bytes codec, got {kinds.count(1)}"
        )
    if kinds != sorted(kinds):
        raise MetadataError(
            f"{where}: {names}: expected array to array, one array to bytes, then bytes to bytes codecs"
        )
    splits = any(isinstance(codec, ArrayBytes) and codec.splits for codec in codecs)
    if spec.nbytes is not None and spec.nbytes > limits.max_chunk_bytes and not splits:
        raise LimitExceededError(
            f"{where}: a chunk of {spec.shape} {spec.dtype} has {spec.nbytes} bytes, "
            f"at most {limits.max_chunk_bytes} allowed"
        )
    adapted: list[Codec] = []
    current = spec
    for codec in codecs:
        try:
            codec = codec.adapted(current, limits)
            adapted.append(codec)
            if isinstance(codec, ArrayArray):
                current = codec.encoded_spec(current)
                check_swelling(current, limits)
        except (ValueError, TypeError, CodecError) as error:
            raise MetadataError(f"{where}: codec {codec.name!r}: {error}") from error
    return CodecChain(
        spec,
        tuple(c for c in adapted if isinstance(c, ArrayArray)),
        next(c for c in adapted if isinstance(c, ArrayBytes)),
        tuple(c for c in adapted if isinstance(c, BytesBytes)),
        limits,
    )
