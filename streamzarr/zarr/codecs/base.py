"""What a codec is: one step between a chunk's array and its stored bytes.

Three kinds, in the order of a chain (Zarr v3 core specification, "Codecs"):

=====================  ===================================================================
:class:`ArrayArray`    array to array: ``transpose``, numeric filters
:class:`ArrayBytes`    array to bytes, exactly one in a chain: ``bytes``, ``vlen-utf8``, sharding
:class:`BytesBytes`    bytes to bytes: compressors and checksums
=====================  ===================================================================

Codecs are immutable and thread-safe. They raise :class:`streamzarr.errors.CodecError` and say what they got
and expected; the reader of the chunk adds the array, the chunk and the key.
A codec never returns more bytes than it was told to expect: corrupt or hostile input cannot exhaust memory.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from streamzarr.errors import CodecError, LimitExceededError
from streamzarr.limits import Limits
from streamzarr.stores.base import BytesLike

NDArray: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class ChunkSpec:
    """The form of an array between two steps of a chain."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: Any
    """The array's fill value as one element: what padding and absent inner chunks hold."""

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int | None:
        """Bytes in memory; None when elements vary in length."""
        return None if self.dtype.kind in "OT" else self.size * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Bound:
    """How many bytes a step must give back: exactly `size`, or at most."""

    size: int
    exact: bool

    def admits(self, nbytes: int) -> bool:
        """Tell whether a result of `nbytes` is as expected."""
        return nbytes == self.size if self.exact else nbytes <= self.size

    def __str__(self) -> str:
        return f"{'' if self.exact else 'at most '}{self.size} bytes"


class Codec(ABC):
    """One codec with its configuration; frozen."""

    name: ClassVar[str]
    """The name in v3 metadata."""
    needs: ClassVar[str] = ""
    """The module of the package, beyond those that streamzarr requires, that has to be installed."""

    @classmethod
    @abstractmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        """Return the codec for the ``configuration`` of a v3 document.

        Raises ``ValueError`` or ``TypeError`` when it is not valid; the caller says where.
        """

    @abstractmethod
    def configuration(self) -> dict[str, Any]:
        """Return the ``configuration`` to write; an empty one is left out."""

    def to_json(self) -> dict[str, Any]:
        """Return the v3 form, always an object (trap T17)."""
        configuration = self.configuration()
        return {"name": self.name, "configuration": configuration} if configuration else {"name": self.name}

    def adapted(self, spec: ChunkSpec, limits: Limits) -> Self:
        """Return this codec with what it takes from the data filled in (byte order, Blosc's type size).

        Raises ``ValueError`` when the codec cannot work on `spec`.
        """
        return self


class ArrayArray(Codec):
    """A step from array to array."""

    @abstractmethod
    def encoded_spec(self, spec: ChunkSpec) -> ChunkSpec:
        """Return the form that :meth:`encode` gives an array of `spec`."""

    @abstractmethod
    def encode(self, array: NDArray) -> NDArray:
        """Return the encoded array; may be a view of `array`."""

    @abstractmethod
    def decode(self, array: NDArray, spec: ChunkSpec) -> NDArray:
        """Return the array of form `spec` that was encoded; may be a view."""


class ArrayBytes(Codec):
    """The step from array to bytes."""

    splits: ClassVar[bool] = False
    """The array is cut into chunks that are decoded one by one: limits then hold for these."""

    @abstractmethod
    def encoded_size(self, spec: ChunkSpec) -> int | None:
        """Return the size of every encoded array of `spec`, in bytes; None when it varies."""

    @abstractmethod
    def encode(self, array: NDArray, spec: ChunkSpec) -> BytesLike:
        """Return the bytes of `array`; may share its memory."""

    @abstractmethod
    def decode(self, data: BytesLike, spec: ChunkSpec) -> NDArray:
        """Return the array in `data`; may share its memory, and may be read-only."""


class BytesBytes(Codec):
    """A step from bytes to bytes."""

    @property
    def is_light(self) -> bool:
        """Whether decoding costs little more than a copy: a second thread is not worth its while then."""
        return False

    @abstractmethod
    def encoded_bound(self, bound: Bound) -> Bound:
        """Return how large the encoding of input of `bound` can be."""

    @abstractmethod
    def encode(self, data: BytesLike) -> BytesLike:
        """Return `data`, encoded."""

    @abstractmethod
    def decode(self, data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
        """Return `data`, decoded, without ever holding more than `bound` allows.

        Parameters
        ----------
        out
            A buffer of exactly ``bound.size`` bytes that the codec may decode into and return.
        """


_MOST_CODECS = 64


def check_count(codecs: Sequence[object], where: str) -> None:
    """Check that a chain has no more codecs than could be meant: each swells the memory that it may take.

    Raises
    ------
    streamzarr.errors.LimitExceededError
        It has more.
    """
    if len(codecs) > _MOST_CODECS:
        raise LimitExceededError(f"{where}: {len(codecs)} codecs, at most {_MOST_CODECS} allowed")


def as_buffer(array: NDArray) -> memoryview:
    """Return the memory of a C-contiguous array as flat bytes, without a copy.

    >>> import numpy as np
    >>> len(as_buffer(np.zeros((2, 3), "M8[s]")))
    48
    """
    flat: Any = array.reshape(-1)
    return memoryview(flat.view(np.uint8))


def worst_compression(bound: Bound) -> Bound:
    """Return an upper bound of what any usual compressor makes of incompressible input of `bound`."""
    return Bound(bound.size + (bound.size >> 3) + 4096, exact=False)


FAILURES = (
    *(RuntimeError, ValueError, TypeError, OSError, EOFError, OverflowError, IndexError, AssertionError),
    AttributeError,  # numcodecs' zfpy, in a mode that it does not have
)
"""What numcodecs and the standard library raise on what they cannot decode or encode."""


def checked(name: str, decoded: BytesLike, bound: Bound) -> BytesLike:
    """Return what codec `name` has decoded, if it has the size that `bound` asks for."""
    if not bound.admits(len(decoded)):
        raise CodecError(f"{name}: decoded to {len(decoded)} bytes, expected {bound}")
    return decoded
