# ruff: noqa: D102 - methods are documented by ChunkKeys
"""How a chunk's index becomes the end of its key: ``c/0/1`` in v3, ``0.1`` in v2.

A third party adds an encoding with :func:`register`, or with an entry point in the group
``streamzarr.chunk_keys`` that names its class. Metadata can only name an encoding; it never names code.

Sources: Zarr v3 core specification, "Chunk key encoding"; Zarr v2 specification, ``dimension_separator``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Literal, Protocol, TypeAlias

from streamzarr.errors import ConfigError, MetadataError
from streamzarr.zarr.dtypes.base import JSON, named

__all__ = ["ChunkKeys", "DefaultKeys", "V2Keys", "names", "register", "unregister"]

Separator: TypeAlias = Literal[".", "/"]


class ChunkKeys(Protocol):
    """A chunk key encoding; immutable, and picklable with its arrays.

    Made from the ``configuration`` of a v3 document as keyword arguments; its class raises ``ValueError`` for
    one that is not valid. No two indices may have one key, and none the name of a metadata document.
    """

    def encode(self, index: tuple[int, ...]) -> str:
        """Return the key of chunk `index`, relative to the array."""

    def decode(self, key: str) -> tuple[int, ...]:
        """Return the index of `key`; ``ValueError`` when it is not a chunk's key."""

    def to_json(self) -> JSON:
        """Return the v3 ``chunk_key_encoding``."""


@dataclass(frozen=True, slots=True)
class DefaultKeys:
    """``default``: ``c``, then the index.

    >>> DefaultKeys("/").encode((1, 23)), DefaultKeys("/").encode(())
    ('c/1/23', 'c')
    """

    separator: Separator = "/"

    def __post_init__(self) -> None:
        _check_separator(self.separator)

    def encode(self, index: tuple[int, ...]) -> str:
        return self.separator.join(["c", *map(str, index)])

    def decode(self, key: str) -> tuple[int, ...]:
        if key == "c":
            return ()
        prefix, _, rest = key.partition(self.separator)
        if prefix != "c":
            raise ValueError(f"{key!r} is not a chunk key with separator {self.separator!r}")
        return _numbers(rest, self.separator)

    def to_json(self) -> JSON:
        return {"name": "default", "configuration": {"separator": self.separator}}


@dataclass(frozen=True, slots=True)
class V2Keys:
    """``v2``: the index alone, ``0`` for arrays without dimensions.

    >>> V2Keys(".").encode((1, 23)), V2Keys("/").encode(()), V2Keys(".").decode("1.23")
    ('1.23', '0', (1, 23))
    """

    separator: Separator = "."

    def __post_init__(self) -> None:
        _check_separator(self.separator)

    def encode(self, index: tuple[int, ...]) -> str:
        return self.separator.join(map(str, index)) or "0"

    def decode(self, key: str) -> tuple[int, ...]:
        return _numbers(key, self.separator)

    def to_json(self) -> JSON:
        return {"name": "v2", "configuration": {"separator": self.separator}}


def encode_run(keys: ChunkKeys, index: tuple[int, ...], axis: int, count: int) -> list[str]:
    """Return the keys of `count` neighbouring chunks along `axis`, from `index` on.

    >>> encode_run(DefaultKeys("/"), (1, 9, 4), 1, 3)
    ['c/1/9/4', 'c/1/10/4', 'c/1/11/4']
    """
    if count == 1:
        return [keys.encode(index)]
    before, first, after = index[:axis], index[axis], index[axis + 1 :]
    if type(keys) not in (DefaultKeys, V2Keys):  # a class derived from these may have its own form
        return [keys.encode((*before, at, *after)) for at in range(first, first + count)]
    assert isinstance(keys, DefaultKeys | V2Keys)
    separator = keys.separator
    start = "".join([f"{at}{separator}" for at in before])
    if isinstance(keys, DefaultKeys):
        start = f"c{separator}{start}"
    end = "".join([f"{separator}{at}" for at in after])
    return [f"{start}{at}{end}" for at in range(first, first + count)]


def _check_separator(separator: object) -> None:
    if separator not in (".", "/"):
        raise ValueError(f"expected separator '.' or '/', got {separator!r}")


def _numbers(text: str, separator: str) -> tuple[int, ...]:
    parts = text.split(separator)
    if not all(part.isascii() and part.isdigit() and (part == "0" or part[0] != "0") for part in parts):
        raise ValueError(f"{text!r} is not a chunk index with separator {separator!r}")
    return tuple(map(int, parts))


_ENCODINGS: dict[str, Callable[..., ChunkKeys]] = {"default": DefaultKeys, "v2": V2Keys}
_BUILTIN = frozenset(_ENCODINGS)
_ENTRY_POINTS = "streamzarr.chunk_keys"


def register(name: str, encoding: Callable[..., ChunkKeys], *, replace: bool = False) -> None:
    """Make an encoding known under `name`, for arrays to be created and opened in this process.

    Parameters
    ----------
    encoding
        A class of :class:`ChunkKeys`; called with the members of ``configuration`` as keyword arguments.

    Raises
    ------
    streamzarr.errors.ConfigError
        The name is taken and `replace` is false, or belongs to an encoding of the specification.

    Examples
    --------
    >>> import streamzarr.zarr as zarr
    >>> class Padded(DefaultKeys):
    ...     def encode(self, index):
    ...         return "/".join(["c", *(f"{c:04}" for c in index)])
    ...
    ...     def decode(self, key):
    ...         return tuple(map(int, key.split("/")[1:]))
    ...
    ...     def to_json(self):
    ...         return {"name": "padded"}
    >>> register("padded", Padded)
    >>> zarr.create_array("memory://", data=[1, 2], chunk_key_encoding="padded").chunk_key((0,))
    'c/0000'
    >>> unregister("padded")
    """
    if name in _BUILTIN or (name in _ENCODINGS and not replace):
        raise ConfigError(f"chunk key encoding {name!r} is registered already, by {_ENCODINGS[name]!r}")
    _ENCODINGS[name] = encoding


def unregister(name: str) -> None:
    """Forget an encoding that was registered; arrays that are open keep it.

    Raises
    ------
    streamzarr.errors.ConfigError
        There is none under `name`, or it is one of the specification.
    """
    if name in _BUILTIN or name not in _ENCODINGS:
        raise ConfigError(f"chunk key encoding {name!r} cannot be unregistered; known: {', '.join(names())}")
    del _ENCODINGS[name]


def names() -> list[str]:
    """Return the name of every known encoding.

    >>> names()
    ['default', 'v2']
    """
    return sorted({*_ENCODINGS, *(point.name for point in entry_points(group=_ENTRY_POINTS))})


def parse_chunk_keys(document: JSON, where: str) -> ChunkKeys:
    """Return the encoding that a v3 document names; `where` is named in errors.

    Raises
    ------
    streamzarr.errors.MetadataError
        The encoding is unknown, or its configuration is not valid.
    """
    name, configuration = named(document) or ("", {})
    if name not in _ENCODINGS:
        for point in entry_points(group=_ENTRY_POINTS, name=name):
            _ENCODINGS[name] = point.load()
    if name not in _ENCODINGS:
        raise MetadataError(
            f"{where}: unknown chunk_key_encoding {document!r}; known: {', '.join(names())}; see "
            "streamzarr.zarr.chunk_keys.register"
        )
    try:
        return _ENCODINGS[name](**configuration)
    except (ValueError, TypeError) as error:
        raise MetadataError(f"{where}: chunk_key_encoding {document!r}: {error}") from error
