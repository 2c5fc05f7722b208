# ruff: noqa: D102 - methods are documented by the classes of codecs.base
"""``crc32c``: a checksum of four little-endian bytes after the data (RFC 3720; trap T16).

Specification: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/crc32c/index.html
``{"name": "crc32c"}``
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from streamzarr.errors import ChecksumError, CodecError
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs.base import Bound, BytesBytes
from streamzarr.zarr.codecs.checksum import crc32c


@dataclass(frozen=True, slots=True)
class Crc32cCodec(BytesBytes):
    """Detects every flipped bit and nearly every other damage.

    >>> bytes(Crc32cCodec().encode(b"123456789")).hex()
    '313233343536373839839206e3'
    """

    name: ClassVar[str] = "crc32c"

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Self:
        if configuration:
            raise ValueError(f"expected no configuration, got {configuration!r}")
        return cls()

    def configuration(self) -> dict[str, Any]:
        return {}

    def encoded_bound(self, bound: Bound) -> Bound:
        return Bound(bound.size + 4, bound.exact)

    def encode(self, data: BytesLike) -> BytesLike:
        return b"".join((data, crc32c(data).to_bytes(4, "little")))

    def decode(self, data: BytesLike, bound: Bound, out: memoryview | None = None) -> BytesLike:
        view = memoryview(data)
        if len(view) < 4:
            raise CodecError(f"crc32c: got {len(view)} bytes, expected a checksum of 4 and data before it")
        body, stored = view[:-4], int.from_bytes(view[-4:], "little")
        computed = crc32c(body)
        if computed != stored:
            raise ChecksumError(
                f"crc32c: got 0x{computed:08x} over {len(body)} bytes, expected the stored 0x{stored:08x}"
            )
        return body
