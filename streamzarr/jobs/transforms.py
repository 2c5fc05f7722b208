"""Functions on chunks, registered by name. A message can only name one; it never names code.

A worker knows the transforms of the entry point group ``streamzarr.transforms`` and of the modules that its
operator listed with ``--transforms``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from streamzarr.errors import ConfigError, TransformError
from streamzarr.jobs.params import decode_params
from streamzarr.jobs.wire import Params

Transform = Callable[..., npt.NDArray[Any]]
F = TypeVar("F", bound=Callable[..., Any])

_registered: dict[str, Transform] = {}


@overload
def transform(function: F) -> F: ...
@overload
def transform(*, name: str) -> Callable[[F], F]: ...
def transform(function: F | None = None, *, name: str | None = None) -> F | Callable[[F], F]:
    """Register a function on chunks under its own name, or under `name`.

    The function gets one chunk as an ndarray (C order, clipped at the array's edge) and the job's parameters
    as keywords; it returns an array of the same shape whose dtype casts to the target's by numpy's
    ``same_kind`` rule. It must give the same result when called twice, because a task can run twice.

    Raises
    ------
    streamzarr.errors.ConfigError
        Another function has the name.

    Examples
    --------
    >>> @transform
    ... def celsius(block, *, offset=-273.15):
    ...     return block + offset
    """

    def register(function: F) -> F:
        key = name or function.__name__
        known = _registered.get(key)
        # The same definition may be imported twice under two module names, e.g. as __main__.
        if known is not None and known.__qualname__ != function.__qualname__:
            raise ConfigError(
                f"transform {key!r} is registered already, by {known.__module__}.{known.__qualname__}"
            )
        _registered[key] = function
        return function

    return register if function is None else register(function)


def load_transforms(modules: Iterable[str] = ()) -> None:
    """Import the modules that register transforms; raises ``ConfigError`` naming the one that fails."""
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigError(f"transforms module {module!r} cannot be imported: {error}") from error


def find_transform(name: str) -> Transform:
    """Return the transform of this name; raises ``TransformError`` listing the known ones."""
    if name not in _registered:
        for point in entry_points(group="streamzarr.transforms", name=name):
            return _registered.setdefault(name, point.load())
        known = ", ".join(known_transforms()) or "none"
        raise TransformError(f"unknown transform {name!r}; this worker knows: {known}")
    return _registered[name]


def known_transforms() -> list[str]:
    """Names of all transforms known here, sorted."""
    return sorted({*_registered, *(point.name for point in entry_points(group="streamzarr.transforms"))})


def apply_transform(
    name: str, block: npt.NDArray[Any], params: Params, dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Return the transformed `block` as `dtype`; raises ``TransformError`` when the result does not fit.

    `params` are as a task carries them.
    """
    function = find_transform(name)
    result = np.asarray(function(block, **decode_params(params)))
    if result.shape != block.shape:
        raise TransformError(f"transform {name!r} returned shape {result.shape}, expected {block.shape}")
    if not np.can_cast(result.dtype, dtype, "same_kind"):
        raise TransformError(
            f"transform {name!r} returned dtype {result.dtype}, expected one that casts to {dtype}; "
            "submit the job with dtype= to store another one"
        )
    return result.astype(dtype, copy=False)
