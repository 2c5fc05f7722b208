"""Making the arrays that a job writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.jobs.wire import Method
from streamzarr.stores import StoreLike
from streamzarr.zarr import Array, create_array, create_group
from streamzarr.zarr.grids.grid import RegularChunks


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """How a target is stored; ``None`` and ``"keep"`` mean: as the source."""

    chunks: int | Sequence[int] | None = None
    shards: int | Sequence[int] | None = None
    dtype: Any = None
    compressors: Any = "keep"
    zarr_format: Literal[2, 3] | None = None
    attributes: Mapping[str, Any] | None = None
    overwrite: bool = False


def create_target(target: StoreLike, source: Array, options: TargetOptions) -> Array:
    """Create the array of a copy or map job; raises ``NodeExistsError`` unless ``overwrite``."""
    return create_array(
        target,
        shape=source.shape,
        attributes=dict(source.attrs if options.attributes is None else options.attributes),
        overwrite=options.overwrite,
        **_storage(source, options, source.shape),
    )


def create_pyramid(
    target: StoreLike,
    source: Array,
    shapes: Sequence[tuple[int, ...]],
    factor: Sequence[int],
    method: Method,
    options: TargetOptions,
) -> list[Array]:
    """Create a multiscale group with one array for each of `shapes`, named ``0``, ``1``, ...

    The group's attributes follow OME-NGFF ``multiscales`` (0.5 in Zarr v3, 0.4 in v2) as far as arrays
    without physical units can: one axis a dimension, and the scale and translation of each level in cells of
    level 0.
    """
    zarr_format = _zarr_format(source, options)
    names = source.dimension_names or (None,) * source.ndim
    axes = [{"name": name or f"dim_{i}", "type": "space"} for i, name in enumerate(names)]
    datasets = []
    for level in range(len(shapes)):
        scale = [float(f**level) for f in factor]
        # The middle of an averaged block lies half its width from the middle of its first cell.
        shift = [0.0 if method == "nearest" else (s - 1) / 2 for s in scale]
        steps = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    version = "0.5" if zarr_format == 3 else "0.4"
    multiscales = [{"name": "", "axes": axes, "datasets": datasets, "type": method}]
    attributes = dict(source.attrs if options.attributes is None else options.attributes)
    if zarr_format == 3:
        attributes["ome"] = {"version": version, "multiscales": multiscales}
    else:
        attributes["multiscales"] = [{"version": version, **multiscales[0]}]
    group = create_group(target, attributes=attributes, zarr_format=zarr_format, overwrite=options.overwrite)
    return [
        group.create_array(str(level), shape=shape, **_storage(source, options, shape))
        for level, shape in enumerate(shapes)
    ]


def _storage(source: Array, options: TargetOptions, shape: Sequence[int]) -> dict[str, Any]:
    """Return the arguments of ``create_array`` that say how chunks are stored."""
    zarr_format = _zarr_format(source, options)
    dtype = source.dtype if options.dtype is None else np.dtype(options.dtype)
    storage: dict[str, Any] = {
        "chunks": _chunks(source, options.chunks, shape),
        "dtype": dtype,
        "fill_value": source.fill_value if dtype == source.dtype else None,
        "zarr_format": zarr_format,
    }
    if zarr_format == 3:
        storage["dimension_names"] = source.dimension_names
        storage["shards"] = _shards(source, options, storage["chunks"])
    if zarr_format == source.zarr_format and dtype == source.dtype:
        storage["filters"] = source.filters or None
        storage["order"] = source.order
    storage["compressors"] = options.compressors
    if options.compressors == "keep":
        storage["compressors"] = _carried_compressors(source, zarr_format)
    return storage


def _zarr_format(source: Array, options: TargetOptions) -> Literal[2, 3]:
    return options.zarr_format or (3 if source.zarr_format == 3 else 2)


def _chunks(source: Array, chunks: int | Sequence[int] | None, shape: Sequence[int]) -> tuple[int, ...]:
    if chunks is None:
        if not isinstance(source.metadata.chunk_grid, RegularChunks):
            raise ConfigError(
                f"chunks: those of {source.url} are rectilinear, {source.metadata.chunk_grid}, "
                "and the target of a job has a regular grid: say which chunks it gets"
            )
        wanted: tuple[int, ...] = tuple(source.chunks)
    else:
        wanted = (chunks,) * source.ndim if isinstance(chunks, int) else tuple(chunks)
    if len(wanted) != source.ndim or any(c < 1 for c in wanted):
        raise ConfigError(
            f"chunks must be one positive integer, or one for each of {source.ndim} axes, got {chunks!r}"
        )
    # A coarse level is often smaller than one chunk of the source.
    return tuple(min(c, max(size, 1)) for c, size in zip(wanted, shape, strict=True))


def _shards(source: Array, options: TargetOptions, chunks: tuple[int, ...]) -> tuple[int, ...] | None:
    if options.shards is not None:
        shards = options.shards
        return (shards,) * source.ndim if isinstance(shards, int) else tuple(shards)
    # With other chunks the source's shards need not be whole numbers of them.
    return source.shards if options.chunks is None and chunks == source.chunks else None


def _carried_compressors(source: Array, zarr_format: int) -> list[Any] | None:
    """Return the source's own compressors; in v3 a zlib stream, which only numcodecs names, becomes gzip."""
    carried = list(source.compressors)
    if source.zarr_format == 2 and zarr_format == 3:
        carried = [{**codec, "id": "gzip"} if codec["id"] == "zlib" else codec for codec in carried]
    return carried or None
