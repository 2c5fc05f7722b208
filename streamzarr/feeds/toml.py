"""TOML whose mistakes can be told with the line they are in."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
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


@contextmanager
def placed(path: str | Path | None, keys: Sequence[str], *, options: bool = False) -> Iterator[None]:
    """Have what is found later of a key's value told with file and line; None: there is no file.

    With `options` the key is that of the same table which the mistake names, if it names one.

    Raises
    ------
    streamzarr.errors.ConfigError
        The same, with its place.
    """
    try:
        yield
    except ConfigError as error:
        if path is None:
            raise
        text = Path(path).read_text(encoding="utf-8-sig")
        found = list(keys)
        if options:
            table = parse_toml(text, str(path)).get(keys[0], {})
            named = [name for name in table if re.search(rf"\b{re.escape(name)}\b", str(error))]
            found = [keys[0], *(named[-1:] or keys[1:])]
        raise ConfigError(f"{place_of(text, found, str(path))}: {'.'.join(found)}: {error}") from error


def _names(text: str) -> list[str]:
    if text[:1] in "\"'":
        return [text[1:-1]]
    return [name.strip().strip("\"'") for name in text.split(".")]
