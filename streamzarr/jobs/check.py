"""What is asked of a job, checked before anything is opened: pure functions over ``submit``'s arguments."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.jobs.cast import Casting
from streamzarr.jobs.params import decode_params, encode_params
from streamzarr.jobs.passes import DEFAULT_MAX_TASK_BYTES
from streamzarr.jobs.target import TargetOptions
from streamzarr.jobs.transforms import find_transform, known_transforms
from streamzarr.jobs.wire import MAX_STAGES, JobKind, Method, Missing, Operation, Params
from streamzarr.options import integer, parse_bytes, text
from streamzarr.redact import redacted
from streamzarr.stores import split_url
from streamzarr.zarr import Array
from streamzarr.zarr.dtypes import data_type

_OWN: Final = {"map": ("transform", "params"), "downsample": ("factor", "levels", "method", "nodata")}
"""What only one kind of job takes."""

MAX_SCALE: Final = 2**63 - 1
"""Cells of a source along one axis that become one cell of a level, at most."""


@dataclass(frozen=True, slots=True)
class Request:
    """A job as it was asked for, checked as far as that goes without the source."""

    kind: Operation
    source: str
    target: str
    missing: Missing
    options: TargetOptions
    transform: str | None = None
    params: Params | None = None
    """As they travel."""
    factor: int | tuple[int, ...] = 2
    levels: int = 2
    method: Method = "mean"
    nodata: Any = None
    """Checked together with the dtype; see :func:`streamzarr.jobs.nodata.nodata_values`."""
    max_task_bytes: int = DEFAULT_MAX_TASK_BYTES
    scratch: str | None = None
    """None: beside the target."""

    def factors(self, source: Array) -> tuple[int, ...]:
        """Return the factor of each axis of the source of a pyramid; ``ConfigError`` when it does not fit."""
        factors = (self.factor,) * source.ndim if isinstance(self.factor, int) else self.factor
        if len(factors) != source.ndim:
            raise ConfigError(
                f"factor is {list(factors)}, expected one integer, or one for each of {source.ndim} axes"
            )
        if any(factor > MAX_SCALE or factor ** (self.levels - 1) > MAX_SCALE for factor in factors):
            raise ConfigError(
                f"factor is {list(factors)!r:.80} and levels is {self.levels}, expected a last level that is "
                f"reduced by at most {MAX_SCALE}"
            )
        return factors


def check_request(
    kind: str,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    missing: str,
    max_task_bytes: int | str,
    scratch: str | os.PathLike[str] | None,
    options: Mapping[str, Any],
    **own: Any,
) -> Request:
    """Return what is asked for, with every value in the type that the job uses.

    Parameters
    ----------
    options
        The fields of :class:`TargetOptions`.
    **own
        What only one kind of job takes; None where it was not given.

    Raises
    ------
    streamzarr.errors.ConfigError
        A value that means nothing, or one that this kind of job would ignore.
    """
    _choice("kind", kind, get_args(JobKind))
    for other, names in _OWN.items():
        if given := [name for name in names if other != kind and own[name] is not None]:
            raise ConfigError(f"a {kind} job takes no {given[0]}, got {given[0]}={own[given[0]]!r:.80}")
    taken: dict[str, Any] = {
        name: _PARTS[name](own[name]) for name in _OWN.get(kind, ()) if own[name] is not None
    }
    if kind == "map":
        if "transform" not in taken:
            raise ConfigError("a map job needs transform=, the name of a transform; got None")
        _check_call(taken["transform"], taken.get("params", {}))
    return Request(
        kind,  # type: ignore[arg-type]  # checked above
        _place("source", source),
        _place("target", target),
        _choice("missing", missing, get_args(Missing)),  # type: ignore[arg-type]
        _options(**options),
        max_task_bytes=integer("max_task_bytes", _bytes("max_task_bytes", max_task_bytes), minimum=1),
        scratch=None if scratch is None else _place("scratch", scratch),
        **taken,
    )


def _options(
    *,
    chunks: Any,
    shards: Any,
    dtype: Any,
    casting: Any,
    compressors: Any,
    zarr_format: Any,
    attributes: Any,
    overwrite: Any,
) -> TargetOptions:
    if zarr_format is not None and integer("zarr_format", zarr_format) not in (2, 3):
        raise ConfigError(f"zarr_format is {zarr_format!r}, expected 2 or 3")
    if attributes is not None and not (
        isinstance(attributes, Mapping) and all(isinstance(name, str) for name in attributes)
    ):
        raise ConfigError(f"attributes is {attributes!r:.80}, expected a mapping from names to values")
    if not isinstance(overwrite, bool):
        raise ConfigError(f"overwrite is {overwrite!r:.80}, expected True or False")
    if dtype is not None:
        try:
            dtype = data_type(dtype)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"dtype is {dtype!r:.80}, expected a numpy dtype") from error
    return TargetOptions(
        None if chunks is None else _axes("chunks", chunks),
        None if shards is None else _axes("shards", shards),
        dtype,
        compressors,
        zarr_format,
        attributes,
        overwrite,
        _choice("casting", casting, get_args(Casting)),  # type: ignore[arg-type]
    )


def _place(name: str, url: str | os.PathLike[str]) -> str:
    """Return the URL of source, target or scratch space; all processes of workers must be able to open it."""
    place = os.fspath(url) if isinstance(url, os.PathLike) else url
    if split_url(text(name, place)).scheme == "memory":
        raise ConfigError(
            f"{name} is {redacted(place)}, which only this process can see, expected what workers can open"
        )
    return place


def _bytes(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_bytes(value)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def _choice(name: str, value: Any, choices: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(f"{name} is {value!r:.80}, expected {', '.join(choices[:-1])} or {choices[-1]}")
    return value


def _axes(name: str, value: Any) -> int | tuple[int, ...]:
    several = value.ndim > 0 if isinstance(value, np.ndarray) else isinstance(value, Sequence)
    if several and not isinstance(value, str | bytes):
        return tuple(integer(f"an entry of {name}", each, minimum=1) for each in value)
    return integer(name, value, minimum=1)


def _levels(value: Any) -> int:
    levels = integer("levels", value, minimum=1)
    if levels > MAX_STAGES:
        raise ConfigError(f"levels is {levels}, expected at most {MAX_STAGES}")
    return levels


def _check_call(transform: str, params: Params) -> None:
    """Check parameters against the function's signature, where the transform is known here."""
    if transform not in known_transforms():
        return  # a worker may know it
    function = find_transform(transform)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # what is written in C may have none
    try:
        signature.bind(np.empty(0), **decode_params(params))
    except TypeError as error:
        raise ConfigError(
            f"transform {transform!r} takes {signature}: {error}; got params {sorted(params)}"
        ) from error


_PARTS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "transform": lambda value: text("transform", value),
    "params": encode_params,
    "factor": lambda value: _axes("factor", value),
    "levels": _levels,
    "method": lambda value: _choice("method", value, get_args(Method)),
    "nodata": lambda value: value,
}
