"""Which codecs there are: those built in, and those that packages bring.

What is built in, ``builtin.py`` says; so a codec that contains others can ask here for them. A program adds a
codec with :func:`register`; a package, for every process, with an entry point. In order:

=====================  ===============================================================================
``streamzarr.codecs``  classes derived from :mod:`streamzarr.zarr.codecs.base`, by their v3 name
``numcodecs.codecs``   numcodecs', from bytes to bytes, as ``numcodecs.<id>``; in v2 all of them by id
``zarr.codecs``        zarr-python's, by their v3 name (:mod:`streamzarr.zarr.codecs.zarr_python`)
=====================  ===============================================================================

Packages are imported when metadata first names their codec. Metadata can only name a codec; it never names
code, and ``pickle`` is never among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from streamzarr.errors import ConfigError, MetadataError
from streamzarr.zarr.codecs.base import ArrayArray, ArrayBytes, BytesBytes, Codec
from streamzarr.zarr.codecs.foreign import PREFIX, registered_compressor
from streamzarr.zarr.codecs.zarr_python import codec_of_zarr_python
from streamzarr.zarr.dtypes.base import JSON, named

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_built_in: dict[str, type[Codec]] = {}
_aliases: dict[str, str] = {}
_registered: dict[str, type[Codec]] = {}
_loaded: dict[str, type[Codec]] = {}

OURS, NUMCODECS, ZARR = "streamzarr.codecs", "numcodecs.codecs", "zarr.codecs"
"""Groups of entry points."""

Kind: TypeAlias = Literal["array -> array", "array -> bytes", "bytes -> bytes"]
_KINDS: tuple[tuple[Any, Kind], ...] = (
    (ArrayArray, "array -> array"),
    (ArrayBytes, "array -> bytes"),
    (BytesBytes, "bytes -> bytes"),
)


@dataclass(frozen=True, slots=True)
class CodecInfo:
    """What is known about one codec without an array."""

    name: str
    kind: Kind
    source: str
    """``"built in"``, ``"registered"``, or the group of the entry point that it came by."""
    available: bool
    """Whether the package that it needs is installed."""
    summary: str
    """The first line of its documentation."""


def build_in(codecs: Mapping[str, type[Codec]], aliases: Mapping[str, str]) -> None:
    """Make known what streamzarr itself brings: codecs by name, and other names that some of them have."""
    _built_in.update(codecs)
    _aliases.update(aliases)


def register(codec: type[Codec], *, replace: bool = False) -> None:
    """Make `codec` known under its name, in this process.

    Raises
    ------
    streamzarr.errors.ConfigError
        The name is taken and `replace` is false, or this is no class of a codec.
    """
    _check(codec, "register")
    taken = codec.name in _built_in or codec.name in _registered
    if taken and not replace:
        found = _registered.get(codec.name) or _built_in[codec.name]
        raise ConfigError(f"codec {codec.name!r} is registered already, by {found.__qualname__}")
    _registered[codec.name] = codec


def unregister(name: str) -> None:
    """Forget a codec that :func:`register` made known; what it replaced serves again.

    Raises
    ------
    streamzarr.errors.ConfigError
        No codec was registered under this name; those built in cannot be taken away.
    """
    if name not in _registered:
        why = "is built in" if name in _built_in else "was not registered"
        raise ConfigError(f"codec {name!r} {why}; registered: {sorted(_registered)}")
    del _registered[name]


def names() -> list[str]:
    """Return the name of every known codec, without importing the packages that bring them.

    >>> "zstd" in names()
    True
    """
    return sorted({*_built_in, *_registered, *(name for name, _, _ in _entry_points())})


def info(name: str) -> CodecInfo:
    """Return what is known about the codec `name`; loads the package that brings it.

    >>> info("gzip").kind, info("gzip").source
    ('bytes -> bytes', 'built in')

    Raises
    ------
    streamzarr.errors.ConfigError
        There is no such codec.
    streamzarr.errors.MetadataError
        The package that brings it cannot be imported, or brings something else.
    """
    found = lookup(name)
    if found is None:
        raise ConfigError(f"unknown codec {name!r}; known: {', '.join(names())}")
    kind = next(word for base, word in _KINDS if issubclass(found, base))
    summary = (found.__doc__ or "").strip().partition("\n")[0]
    available = not found.needs or find_spec(found.needs) is not None
    return CodecInfo(found.name, kind, _source(found), available, summary)


def _source(codec: type[Codec]) -> str:
    if codec in _registered.values():
        return "registered"
    if codec in _built_in.values():
        return "built in"
    return next((group for name, group, _ in _entry_points() if name == codec.name), NUMCODECS)


def lookup(name: str) -> type[Codec] | None:
    """Return the class of the codec `name`, loading the package that brings it on first use."""
    name = _aliases.get(name, name)
    found = _registered.get(name) or _built_in.get(name) or _loaded.get(name)
    if found is None and (found := _load(name)) is not None:
        _loaded[name] = found
    return found


def _load(name: str) -> type[Codec] | None:
    for each, group, point in _entry_points():
        if each == name:
            try:
                return _LOADERS[group](name, point.load())
            except Exception as error:  # whatever a package does when it is imported
                raise MetadataError(
                    f"codec {name!r}: entry point {point.value!r} in {group!r}: {error!r}"
                ) from error
    # What a program gave to numcodecs.register_codec has no entry point.
    return registered_compressor(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None


def _entry_points() -> Iterator[tuple[str, str, EntryPoint]]:
    """Yield name in v3 metadata, group and entry point of each codec that a package brings."""
    from importlib.metadata import entry_points  # 20 ms that only those pay who look beyond what is built in

    found = entry_points()
    for point in found.select(group=OURS):
        yield point.name, OURS, point
    for point in found.select(group=NUMCODECS):
        yield f"{PREFIX}{point.name}", NUMCODECS, point
    for point in found.select(group=ZARR):
        yield point.name, ZARR, point
    for group in found.groups:  # several implementations of one codec; the first serves
        if group.startswith(f"{ZARR}."):
            for point in found.select(group=group):
                yield group.removeprefix(f"{ZARR}."), ZARR, point


def _check(codec: Any, what: str) -> type[Codec]:
    kinds = tuple(base for base, _ in _KINDS)
    if not (isinstance(codec, type) and issubclass(codec, kinds)):
        raise ConfigError(
            f"{what}: expected a class derived from ArrayArray, ArrayBytes or BytesBytes, got {codec!r}"
        )
    checked: type[Codec] = codec
    return checked


_LOADERS: dict[str, Callable[[str, Any], type[Codec] | None]] = {
    OURS: lambda name, found: _check(found, name),
    NUMCODECS: lambda name, found: registered_compressor(name.removeprefix(PREFIX), found),
    ZARR: codec_of_zarr_python,
}


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
