"""TOML whose mistakes can be told with the line they are in."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Any, Final

from streamzarr.errors import ConfigError

_TABLE: Final = re.compile(r"\s*\[([^\[\]]+)\]")
_KEY: Final = re.compile(r"""\s*("[^"]+"|'[^']+'|[A-Za-z0-9_.-]+)\s*=""")


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Return the document.

    Raises
    ------
    streamzarr.errors.ConfigError
        It is no TOML; says where.
    """
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{where}: not TOML: {error}") from error


def place_of(text: str, keys: Sequence[str], where: str) -> str:
    r"""Return file and line of a key, or of the table that it is missing from.

    Examples
    --------
    >>> text = '[target]\nurl = "fx.zarr"\ncommit = { seconds = 0 }'
    >>> place_of(text, ["target", "commit", "seconds"], "fx.toml")
    'fx.toml, line 3'
    >>> place_of(text, ["target", "layout"], "fx.toml"), place_of(text, ["decode"], "fx.toml")
    ('fx.toml, line 1', 'fx.toml')
    """
    wanted, best, found = list(keys), 0, None
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _TABLE.match(line):
            table = _names(match[1])
            path = table
        elif match := _KEY.match(line):
            path = [*table, *_names(match[1])]
        else:
            continue
        if len(path) > best and path == wanted[: len(path)]:
            best, found = len(path), number
    return where if found is None else f"{where}, line {found}"


def _names(text: str) -> list[str]:
    if text[:1] in "\"'":
        return [text[1:-1]]
    return [name.strip().strip("\"'") for name in text.split(".")]
