"""Functions on chunks, registered by name. A message can only name one; it never names code.

A worker knows the transforms of the entry point group ``streamzarr.transforms`` and of the modules that its
operator listed with ``--transforms``.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import PurePath
from types import FunctionType
from typing import Any, TypeVar, overload

import numpy.typing as npt

from streamzarr.errors import ConfigError, TransformError, describe, is_interrupt
from streamzarr.options import text

Transform = Callable[..., npt.NDArray[Any]]
F = TypeVar("F", bound=Callable[..., Any])

ENTRY_POINTS = "streamzarr.transforms"

_registered: dict[str, Transform] = {}


@overload
def transform(function: F) -> F: ...
@overload
def transform(*, name: str) -> Callable[[F], F]: ...
def transform(function: F | None = None, *, name: str | None = None) -> F | Callable[[F], F]:
    """Register a function on chunks under its own name, or under `name`.

    The function gets one chunk as an ndarray (C order, clipped at the array's edge) and the job's parameters
    as keywords; it returns an array of the same shape whose values cast to the target's dtype by the job's
    rule ``casting``, numpy's ``same_kind`` if none was given. Masked cells become the target's fill value. It
    must give the same result when called twice, because a task can run twice.

    Raises
    ------
    streamzarr.errors.ConfigError
        Another function has the name.

    Examples
    --------
    >>> @transform
    ... def to_celsius(block, *, offset=-273.15):
    ...     return block + offset
    """

    def register(function: F) -> F:
        key = text("name of a transform", getattr(function, "__name__", "") if name is None else name)
        known = _registered.setdefault(key, function)
        if not _is_same(known, function):
            raise ConfigError(
                f"transform {key!r} is registered twice, by {_place(known)} and by {_place(function)}; "
                "give one of them another name="
            )
        _registered[key] = function
        return function

    return register if function is None else register(function)


def load_transforms(modules: Iterable[str] = ()) -> None:
    """Import the modules that register transforms.

    Raises
    ------
    streamzarr.errors.ConfigError
        One of them has no module's name, cannot be imported or raises anything while it is; or two
        transforms have one name, those of installed packages included.
    """
    for module in modules:
        if not all(part.isidentifier() for part in module.split(".")) or module.endswith(".py"):
            stem = PurePath(module).stem
            name = stem if stem.isidentifier() else "my_transforms"
            raise ConfigError(
                f"transforms module {module!r} is no module's name, expected one as in `import {name}`"
            )
        try:
            importlib.import_module(module)
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise ConfigError(
                f"transforms module {module!r} cannot be imported: {describe(error)}"
            ) from error
    for name, installed in _installed().items():
        functions = [_registered[name]] if name in _registered else []
        if len(functions) + len(installed) > 1:
            functions += map(_load, installed)
        if other := [each for each in functions if not _is_same(functions[0], each)]:
            raise ConfigError(
                f"transform {name!r} is registered twice, by {_place(functions[0])} and by {_place(other[0])}"
            )


def find_transform(name: str) -> Transform:
    """Return the transform of this name; raises ``TransformError`` listing the known ones."""
    if name not in _registered:
        for point in _installed().get(name, ()):
            return _registered.setdefault(name, _load(point))
        known = ", ".join(known_transforms()) or "none"
        raise TransformError(f"unknown transform {name!r}; this worker knows: {known}")
    return _registered[name]


def known_transforms() -> list[str]:
    """Names of all transforms known here, sorted."""
    return sorted({*_registered, *_installed()})


def _installed() -> dict[str, list[EntryPoint]]:
    """Return the entry points of installed packages by name: one each, unless two packages chose the same."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=ENTRY_POINTS):
        if point.value not in [other.value for other in found.setdefault(point.name, [])]:
            found[point.name].append(point)
    return found


def _load(point: EntryPoint) -> Transform:
    try:
        function: Transform = point.load()
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise ConfigError(
            f"transform {point.name!r} ({point.value}) cannot be loaded: {describe(error)}"
        ) from error
    return function


def _is_same(known: Transform, function: Transform) -> bool:
    """Tell whether two functions are one definition, imported twice: under two names, or as ``__main__``.

    It stands in one file at one line. Within one module the same lines, run again, define another function
    where it closes over other values.
    """
    if known is function:
        return True
    one, other = inspect.unwrap(known), inspect.unwrap(function)
    if not (isinstance(one, FunctionType) and isinstance(other, FunctionType)):
        return False
    files = {os.path.realpath(each.__code__.co_filename) for each in (one, other)}
    again = one.__globals__ is not other.__globals__ or one.__closure__ is None
    return len(files) == 1 and one.__code__ == other.__code__ and again


def _place(function: Transform) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    name = f"{getattr(function, '__module__', None)}.{getattr(function, '__qualname__', repr(function))}"
    return name if code is None else f"{name} ({code.co_filename}, line {code.co_firstlineno})"
