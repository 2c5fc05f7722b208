"""Which v3 codecs there are: ours, and those that packages register.

A third party adds a codec with :func:`register`, or with an entry point in the group ``streamzarr.codecs``
that names its class. Metadata can only name a codec; it never names code.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from streamzarr.errors import ConfigError, MetadataError
from streamzarr.zarr.codecs.base import Codec
from streamzarr.zarr.codecs.compressors import BloscCodec, GzipCodec, ZstdCodec
from streamzarr.zarr.codecs.crc32c import Crc32cCodec
from streamzarr.zarr.codecs.foreign import foreign_codecs
from streamzarr.zarr.codecs.raw import BytesCodec
from streamzarr.zarr.codecs.sharding import ShardingCodec
from streamzarr.zarr.codecs.transpose import TransposeCodec
from streamzarr.zarr.codecs.vlen import VlenBytesCodec, VlenUtf8Codec
from streamzarr.zarr.dtypes.base import JSON, named

_CODECS: dict[str, type[Codec]] = {
    codec.name: codec
    for codec in (
        *(TransposeCodec, BytesCodec, VlenUtf8Codec, VlenBytesCodec, ShardingCodec),
        *(ZstdCodec, GzipCodec, BloscCodec, Crc32cCodec),
    )
} | foreign_codecs()
_ALIASES = {"endian": "bytes"}
_ENTRY_POINTS = "streamzarr.codecs"


def register(codec: type[Codec], *, replace: bool = False) -> None:
    """Make `codec` known under its name.

    Raises
    ------
    streamzarr.errors.ConfigError
        The name is taken and `replace` is false.
    """
    if codec.name in _CODECS and not replace:
        raise ConfigError(
            f"codec {codec.name!r} is registered already, by {_CODECS[codec.name].__qualname__}"
        )
    _CODECS[codec.name] = codec


def names() -> list[str]:
    """Return the name of every known codec.

    >>> "zstd" in names()
    True
    """
    return sorted({*_CODECS, *(point.name for point in entry_points(group=_ENTRY_POINTS))})


def lookup(name: str) -> type[Codec] | None:
    """Return the class registered under `name`, loading it from its entry point on first use."""
    name = _ALIASES.get(name, name)
    if name not in _CODECS:
        for point in entry_points(group=_ENTRY_POINTS, name=name):
            _CODECS[name] = point.load()
    return _CODECS.get(name)


def parse_codec(document: JSON, where: str) -> Codec:
    """Return the codec that a v3 document names; trap T17: a name alone is read, too.

    Raises
    ------
    streamzarr.errors.MetadataError
        The codec is unknown, or its configuration is not valid.
    """
    name, configuration = named(document) or (None, {})
    if name is None:
        raise MetadataError(f"{where}: expected a codec with name and configuration, got {document!r}")
    found = lookup(name)
    if found is None:
        raise MetadataError(f"{where}: unknown codec {name!r}; known: {', '.join(names())}")
    try:
        return found.from_configuration(configuration)
    except (ValueError, TypeError) as error:
        raise MetadataError(f"{where}: codec {name!r}: {error}") from error


def parse_codecs(documents: JSON, where: str) -> list[Codec]:
    """Return the codecs that a v3 document lists."""
    if not isinstance(documents, list | tuple):
        raise MetadataError(f"{where}: expected a list of codecs, got {documents!r}")
    return [parse_codec(each, f"{where}[{position}]") for position, each in enumerate(documents)]
