"""The base of what options are converted by: click's, which says what it converts to since 8.4 only."""

from __future__ import annotations

from typing import Any, Generic, NoReturn, TypeVar

import click

T = TypeVar("T")
_Base: Any = click.ParamType


class ParamType(_Base, Generic[T]):
    """A type of parameters that are converted to `T`; the same for all releases of click."""

    def fail(
        self, message: str, param: click.Parameter | None = None, ctx: click.Context | None = None
    ) -> NoReturn:
        """Raise ``click.BadParameter``: the value of `param` cannot be converted."""
        raise click.BadParameter(message, ctx=ctx, param=param)
