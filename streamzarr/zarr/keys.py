# ruff: noqa: D102 - methods are documented by ChunkKeys
"""How a chunk's index becomes the end of its key: ``c/0/1`` in v3, ``0.1`` in v2.

Sources: Zarr v3 core specification, "Chunk key encoding"; Zarr v2 specification, ``dimension_separator``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from streamzarr.errors import MetadataError
from streamzarr.zarr.dtypes.base import JSON, named

Separator: TypeAlias = Literal[".", "/"]


class ChunkKeys(Protocol):
    """A chunk key encoding; immutable."""

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
    if not isinstance(keys, DefaultKeys | V2Keys):
        return [keys.encode((*before, at, *after)) for at in range(first, first + count)]
    separator = keys.separator
    start = "".join([f"{at}{separator}" for at in before])
    if isinstance(keys, DefaultKeys):
        start = f"c{separator}{start}"
    end = "".join([f"{separator}{at}" for at in after])
    return [f"{start}{at}{end}" for at in range(first, first + count)]


def _numbers(text: str, separator: str) -> tuple[int, ...]:
    parts = text.split(separator)
    if not all(part.isascii() and part.isdigit() and (part == "0" or part[0] != "0") for part in parts):
        raise ValueError(f"{text!r} is not a chunk index with separator {separator!r}")
    return tuple(map(int, parts))


_ENCODINGS: dict[str, Any] = {"default": DefaultKeys, "v2": V2Keys}


def parse_chunk_keys(document: JSON, where: str) -> ChunkKeys:
    """Return the encoding that a v3 document names; `where` is named in errors."""
    name, configuration = named(document) or (None, {})
    if name not in _ENCODINGS:
        raise MetadataError(f"{where}: unknown chunk_key_encoding {document!r}; known: {sorted(_ENCODINGS)}")
    unknown = configuration.keys() - {"separator"}
    encoding = _ENCODINGS[name]()
    separator = configuration.get("separator", encoding.separator)
    if unknown or separator not in (".", "/"):
        raise MetadataError(f"{where}: chunk_key_encoding {document!r}: expected separator '.' or '/'")
    keys: ChunkKeys = type(encoding)(separator)
    return keys
