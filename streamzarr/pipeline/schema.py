"""Options as fields of a frozen dataclass: one place says name, default, what fits, and what it means.

From it come the checks, the errors, and the tables of the documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Final

from streamzarr.errors import ConfigError
from streamzarr.flow.arguments import Check, shown

_KEY: Final = "streamzarr.pipeline.setting"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known of an option beside its name and default."""

    doc: str
    check: Check
    default: str
    """The default as people read it."""


def setting(
    doc: str,
    check: Check,
    default: Any = MISSING,
    *,
    factory: Any = MISSING,
    shown: str | None = None,
) -> Any:
    """Return a dataclass field that is an option.

    Parameters
    ----------
    doc
        One sentence, or two.
    check
        Says what was expected, of a value that does not fit.
    default
        Without one the option has to be given.
    factory
        Makes the default, where that can be changed.
    shown
        The default in words, where its ``repr`` says too little.
    """
    if shown is None:
        shown = "none" if factory is not MISSING else "required" if default is MISSING else f"`{default!r}`"
    metadata = {_KEY: Setting(doc, check, shown)}
    if factory is not MISSING:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


def settings_of(owner: type) -> Iterator[tuple[Field[Any], Setting]]:
    """Yield the options of a dataclass, with what is known of them."""
    for each in fields(owner):
        if _KEY in each.metadata:
            yield each, each.metadata[_KEY]


def check_settings(instance: Any) -> None:
    """Check every option of an instance; defaults too, so that they fit what the table says.

    Raises
    ------
    streamzarr.errors.ConfigError
        An option does not fit: says which, what was got, and what was expected.
    """
    for each, known in settings_of(type(instance)):
        value = getattr(instance, each.name)
        expected = known.check(value)
        if expected is not None:
            raise ConfigError(
                f"{type(instance).__name__}: {each.name} is {shown(value)}, expected {expected}"
            )


def table(owner: type) -> str:
    """Return the options of `owner` as a table for the documentation.

    Examples
    --------
    >>> from streamzarr.flow.arguments import integer
    >>> @dataclass(frozen=True)
    ... class Pace:
    ...     threads: int = setting("Threads.", integer(1), 4)
    >>> print(table(Pace))
    | option | default | expected | meaning |
    |---|---|---|---|
    | `threads` | `4` | an integer of at least 1 | Threads. |
    """
    rows = ["| option | default | expected | meaning |", "|---|---|---|---|"]
    for each, known in settings_of(owner):
        expected = (known.check(_NOTHING) or "anything").replace("|", "\\|")
        rows.append(f"| `{each.name}` | {known.default} | {expected} | {known.doc} |")
    return "\n".join(rows)


_NOTHING: Final = object()
"""Fits no check, so that each says what it expects."""
