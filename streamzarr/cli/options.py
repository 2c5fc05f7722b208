"""Options and parameter types that several commands share."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import Field
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import click

from streamzarr.cli.param_type import ParamType
from streamzarr.errors import ConfigError, QueueError
from streamzarr.hints import DEFAULT_BROKER, DEFAULT_PREFIX
from streamzarr.options import BYTES, Option, integer, number, parse_bytes
from streamzarr.redact import redacted

if TYPE_CHECKING:
    from streamzarr.queue import Broker

MAX_DIGITS = 20
"""Of an integer of 64 bits, with its sign."""

broker_option = click.option(
    "--broker",
    metavar="URL",
    envvar="STREAMZARR_BROKER",
    default=DEFAULT_BROKER,
    show_default=True,
    show_envvar=True,
    help="sqlite:///path (one machine, no server) or kafka://host:port.",
)
prefix_option = click.option(
    "--prefix",
    envvar="STREAMZARR_PREFIX",
    default=DEFAULT_PREFIX,
    show_default=True,
    show_envvar=True,
    help="First part of the topics' names; the same for workers and jobs that belong together.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
max_lag_option = click.option(
    "--max-lag",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    help="How many tasks may be queued and not yet done; the submitter waits for the workers beyond it.",
)


def option_of(field: Field[Any], known: Option, kind: Any) -> click.Option:
    """Return the command-line option of a number among a dataclass's options."""
    whole = int in (kind, *get_args(kind))
    least = known.minimum if known.above is None else known.above
    bounds: dict[str, Any] = {"min": least if least is None or not whole else int(least)}
    number_type = click.IntRange(**bounds) if whole else Number(known)
    return click.Option(
        [f"--{field.name.replace('_', '-')}"],
        type=Size() if known.metavar == BYTES else number_type,
        default=field.default,
        show_default=field.default is not None,
        envvar=f"STREAMZARR_{field.name.upper()}",
        show_envvar=True,
        metavar=known.metavar,
        help=known.help,
    )


def examples(*lines: str) -> str:
    """Return the epilog of a command's help that shows how to call it."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class Number(ParamType[float]):
    """A number within the bounds of an option."""

    name = "NUMBER"

    def __init__(self, known: Option) -> None:
        self.known = known

    def convert(  # noqa: D102
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            return number("it", float(value), self.known)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        except ValueError:
            self.fail(f"got {value!r}, expected a number", param, ctx)


class Size(ParamType[int]):
    """A number of bytes, with or without a unit: ``1000000``, ``512MB``, ``1.5GiB``."""

    name = "BYTES"

    def convert(  # noqa: D102
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        try:
            return integer("it", parse_bytes(value), minimum=1)
        except ConfigError as error:
            self.fail(str(error), param, ctx)


class Integers(ParamType[tuple[int, ...]]):
    """Positive integers separated by commas: ``2`` or ``256,256``."""

    name = "N[,N...]"

    def convert(  # noqa: D102
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
            self.fail(
                f"got {value!r}, expected positive integers separated by commas, as in 256,256", param, ctx
            )
        return tuple(map(int, parts))


class Duration(ParamType[float]):
    """A time span in seconds, with or without a unit: ``90``, ``30min``, ``12h``, ``7d``."""

    name = "TIME"
    _units: ClassVar = {"": 1, "s": 1, "min": 60, "h": 3600, "d": 86_400}

    def convert(  # noqa: D102
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        number, unit = re.fullmatch(r"([0-9]{0,12})(.*)", str(value).strip(), re.DOTALL).groups()  # type: ignore[union-attr]  # matches anything
        if not number or unit.strip() not in self._units:
            self.fail(f"got {value!r}, expected a number with s, min, h or d behind it, as in 7d", param, ctx)
        return float(int(number) * self._units[unit.strip()])


class Assignment(ParamType[tuple[str, Any]]):
    """``name=value``; the value is JSON where it reads as JSON, else text.

    So ``1`` is an integer, ``1.0`` a float (as ``NaN``, ``Infinity`` and ``-Infinity`` are), ``true`` a bool,
    ``null`` None, ``[3,3]`` a list, and ``"1"``, with its quotes, text.
    """

    name = "NAME=VALUE"

    def convert(  # noqa: D102
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        if isinstance(value, tuple):
            return value
        name, mark, text = str(value).partition("=")
        if not mark or not name.isidentifier():
            self.fail(f"got {value!r}, expected name=value, as in offset=-273.15", param, ctx)
        try:
            parsed = json.loads(text, parse_float=_finite, parse_int=_digits)
        except OverflowError:
            self.fail(f"got {value!r}, a number that 64 bits do not hold", param, ctx)
        except (ValueError, RecursionError):
            parsed = text
        return name, parsed


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise OverflowError(text)
    return value


def _digits(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise OverflowError(text)
    return int(text)


def assigned(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return assignments as a mapping; a name that is given twice is a mistake."""
    names = [name for name, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise click.UsageError(f"--param {twice[0]} is given {names.count(twice[0])} times")
    return dict(pairs)


class DType(ParamType[str]):
    """A numpy dtype by name."""

    name = "DTYPE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: D102
        import numpy as np

        try:
            return str(np.dtype(value).str)
        except (TypeError, ValueError):
            self.fail(f"got {value!r}, expected a numpy dtype, as in float32 or i2", param, ctx)


class NoData(ParamType[Any]):
    """A number, ``auto`` or ``none``."""

    name = "NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: D102
        if not isinstance(value, str) or value in ("auto", "none"):
            return value
        try:
            return int(value) if value.lstrip("+-").isdecimal() else float(value)
        except ValueError:
            self.fail(f"got {value!r}, expected a number, nan, auto or none", param, ctx)


class Compressor(ParamType[Any]):
    """The name of a codec, ``none``, ``keep``, or a codec's configuration in JSON."""

    name = "CODEC"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: D102
        if value is None or not isinstance(value, str):
            return value
        if value == "none":
            return None
        if not value.startswith("{"):
            return value
        try:
            return json.loads(value)
        except ValueError as error:
            self.fail(f"got {value!r}, which is not JSON: {error}", param, ctx)


def open_existing(url: str) -> Broker:
    """Open a broker that should be there already.

    An embedded broker is made when it is not there. To a command that only looks, a missing file means a
    mistyped path or another folder.

    Raises
    ------
    streamzarr.errors.QueueError
        The embedded broker's file does not exist, or the broker cannot be reached.
    """
    from streamzarr.queue.open import local_file, open_broker

    if (path := local_file(url)) is not None and not path.exists():
        raise QueueError(
            f"no broker at {redacted(url)}: the file {path.absolute()} does not exist; "
            "give --broker or STREAMZARR_BROKER, or start a worker or submit a job to make it"
        )
    return open_broker(url)
