"""Options as fields of a dataclass: one place says name, type, default, bounds and meaning.

From the fields come the checks (:func:`check_options`), the signature and docstring of what takes them
(:func:`takes_options`), and the options of the command line (:mod:`streamzarr.cli.options`).
"""

from __future__ import annotations

import inspect
import math
import operator
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from numbers import Real
from types import NoneType
from typing import Any, Final, TypeVar, get_args, get_type_hints

from streamzarr.errors import ConfigError

T = TypeVar("T", bound=type)
_KEY = "streamzarr.option"
BYTES = "BYTES"
"""Metavariable of options that are sizes: they may be written with a unit."""
_BYTES: Final = re.compile(r"(\d+(?:\.\d+)?) *([kKMGT]i?)?B?")
_UNITS: Final = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY_UNITS: Final = {"k": 2**10, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True, slots=True)
class Option:
    """What the checks and the command line know of a field beside its name, type and default."""

    help: str
    """One sentence for operators."""
    minimum: float | None = None
    above: float | None = None
    """The value is greater than this."""
    infinite: bool = False
    """Infinity has a meaning here."""
    metavar: str | None = None


def option(help: str, default: Any = MISSING, **bounds: Any) -> Any:  # noqa: A002
    """Return a dataclass field that is an option; `bounds` are those of :class:`Option`.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Pace:
    ...     threads: int = option("Threads.", 1, minimum=1)
    ...
    ...     def __post_init__(self):
    ...         check_options(self)
    >>> Pace(threads=0)
    Traceback (most recent call last):
    ...
    streamzarr.errors.ConfigError: threads is 0, expected an integer, 1 or more
    """
    return field(default=default, metadata={_KEY: Option(help, **bounds)})


def options_of(owner: type) -> Iterator[tuple[Field[Any], Option, Any]]:
    """Yield the fields of a dataclass that are options, with what is known of them and their type."""
    hints = _hints(owner)
    for each in fields(owner):
        if _KEY in each.metadata:
            yield each, each.metadata[_KEY], hints[each.name]


def check_options(instance: Any) -> None:
    """Check every option of a dataclass instance, and give it the type that its annotation names.

    Raises
    ------
    streamzarr.errors.ConfigError
        An option cannot be used as given.
    """
    for each, known, kind in options_of(type(instance)):
        value = _check(each.name, getattr(instance, each.name), known, kind)
        object.__setattr__(instance, each.name, value)


def integer(name: str, value: Any, minimum: float | None = None) -> int:
    """Return `value` as an integer; ``ConfigError`` when it is none (a bool is none) or too small.

    >>> integer("levels", 3, minimum=1)
    3
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or (minimum is not None and number < minimum):
        least = "" if minimum is None else f", {minimum:g} or more"
        raise ConfigError(f"{name} is {value!r}, expected an integer{least}")
    return number


def number(name: str, value: Any, known: Option) -> float:
    """Return `value` as a float; ``ConfigError`` when it is no number (bool, NaN are none) or too small."""
    real = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    fits = (
        not math.isnan(real)
        and (known.infinite or not math.isinf(real))
        and (known.minimum is None or real >= known.minimum)
        and (known.above is None or real > known.above)
    )
    if not fits:
        expected = "a number" if known.infinite else "a finite number"
        expected += "" if known.minimum is None else f", {known.minimum:g} or more"
        expected += "" if known.above is None else f", more than {known.above:g}"
        raise ConfigError(f"{name} is {value!r}, expected {expected}")
    return real


def text(name: str, value: Any) -> str:
    """Return `value`; ``ConfigError`` when it is no text, or empty."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{name} is {value!r}, expected text")
    return value


def texts(name: str, value: Any, minimum: float | None = None) -> tuple[str, ...]:
    """Return a sequence of texts as a tuple; ``ConfigError`` when it is none (text is none) or too short."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigError(f"{name} is {value!r}, expected a list of texts")
    found = tuple(text(f"an entry of {name}", each) for each in value)
    if len(found) < (minimum or 0):
        raise ConfigError(f"{name} is {value!r}, expected {minimum:g} or more texts")
    return found


def takes_options(*owners: type) -> Callable[[T], T]:
    """Return a decorator for a class whose ``**options`` are the fields of the dataclasses `owners`.

    Its signature shows them one by one, and ``{options}`` in its docstring becomes their description.
    """

    def complete(target: T) -> T:
        taken = inspect.signature(target.__init__)  # type: ignore[misc]  # of the class itself
        own = [each for each in list(taken.parameters.values())[1:] if each.kind is not each.VAR_KEYWORD]
        found = [
            (each, known)
            for owner in owners
            for each, known, _ in options_of(owner)
            if each.name not in taken.parameters
        ]
        more = [
            inspect.Parameter(
                each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=each.type
            )
            for each, _ in found
        ]
        target.__signature__ = taken.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
        lines = "\n".join(f"{each.name}\n    {known.help}" for each, known in found)
        target.__doc__ = (target.__doc__ or "").replace("{options}", textwrap.indent(lines, " " * 4).lstrip())
        return target

    return complete


def parse_bytes(size: int | str) -> int:
    """Return a number of bytes written as ``"256MB"`` (10⁶) or ``"256MiB"`` (2²⁰).

    Raises
    ------
    streamzarr.errors.ConfigError
        Not a number with one of the units B, kB, MB, GB, TB, KiB, MiB, GiB, TiB.

    Examples
    --------
    >>> parse_bytes("256MB"), parse_bytes("1.5 GiB"), parse_bytes(4096)
    (256000000, 1610612736, 4096)
    """
    if not isinstance(size, str):
        return integer("a number of bytes", size)
    match = _BYTES.fullmatch(size.strip())
    if match is None:
        raise ConfigError(f"{size!r} is not a number of bytes, expected such as '256MB' or '1.5GiB'")
    number, unit = match[1], match[2] or ""
    factor = _BINARY_UNITS[unit[0]] if unit.endswith("i") else _UNITS[unit]
    return int(float(number) * factor)


@cache
def _hints(owner: type) -> dict[str, Any]:
    return get_type_hints(owner)


def _check(name: str, value: Any, known: Option, kind: Any) -> Any:
    if NoneType in get_args(kind):
        if value is None:
            return None
        kind = next(each for each in get_args(kind) if each is not NoneType)
    if known.metavar == BYTES and isinstance(value, str):
        value = parse_bytes(value)
    if kind is int:
        return integer(name, value, known.minimum)
    if kind is float:
        return number(name, value, known)
    return text(name, value) if kind is str else texts(name, value, known.minimum)
