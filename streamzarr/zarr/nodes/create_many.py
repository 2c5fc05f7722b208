"""Making a whole hierarchy at once: everything is checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from streamzarr.errors import ConfigError, ContainsArrayError
from streamzarr.limits import Limits
from streamzarr.stores import Store
from streamzarr.zarr.chunks import parallel
from streamzarr.zarr.create import new_array
from streamzarr.zarr.metadata import (
    ArrayMetadataV2,
    ArrayMetadataV3,
    GroupMetadataV2,
    GroupMetadataV3,
    NodeMetadata,
)
from streamzarr.zarr.nodes.documents import (
    check_absent,
    encoded_documents,
    require_group_node,
    write_node,
)
from streamzarr.zarr.nodes.paths import ancestors, check_new_path, key_below, normalize_path
from streamzarr.zarr.settings import ZarrFormat

NodeSpec: TypeAlias = NodeMetadata | Mapping[str, Any] | None
"""Metadata; or the arguments of ``create_array``, if shape or data are among them; or of ``create_group``."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What is to be made at one path."""

    metadata: NodeMetadata
    data: Any = None


def plan_hierarchy(
    nodes: Mapping[str, NodeSpec], zarr_format: ZarrFormat, limits: Limits
) -> dict[str, Planned]:
    """Return what to make at each path, without the groups in between. No I/O.

    Raises
    ------
    streamzarr.errors.ConfigError
        A path is given twice or not allowed, or what is to be made there makes no sense.
    streamzarr.errors.ContainsArrayError
        A path lies below one that is to be an array.
    """
    planned: dict[str, Planned] = {}
    for given, spec in nodes.items():
        path = normalize_path(given)
        check_new_path(path)
        if path in planned:
            raise ConfigError(f"path {path!r} is given twice")
        planned[path] = _planned(path, spec, zarr_format, limits)
    for path in planned:
        for above in ancestors(path):
            if above in planned and _is_array(planned[above].metadata):
                raise ContainsArrayError(f"{above!r} is to be an array; {path!r} cannot be below it")
    return planned


def _planned(path: str, spec: NodeSpec, zarr_format: ZarrFormat, limits: Limits) -> Planned:
    if isinstance(spec, ArrayMetadataV2 | ArrayMetadataV3 | GroupMetadataV2 | GroupMetadataV3):
        if spec.zarr_format != zarr_format:
            raise ConfigError(f"path {path!r}: metadata of Zarr v{spec.zarr_format}, expected v{zarr_format}")
        return Planned(spec)
    options = dict(spec or {})
    if "shape" in options or "data" in options:
        try:
            metadata, data = new_array(limits=limits, zarr_format=zarr_format, **options)
        except TypeError as error:
            raise ConfigError(f"path {path!r}: {error}") from error
        return Planned(metadata, data)
    attributes = dict(options.pop("attributes", None) or {})
    if options:
        raise ConfigError(f"path {path!r}: a group has attributes alone, got {sorted(options)}")
    return Planned(GroupMetadataV3(attributes) if zarr_format == 3 else GroupMetadataV2(attributes))


def _is_array(metadata: NodeMetadata) -> bool:
    return isinstance(metadata, ArrayMetadataV2 | ArrayMetadataV3)


def write_hierarchy(
    store: Store,
    root: str,
    planned: Mapping[str, Planned],
    zarr_format: ZarrFormat,
    *,
    overwrite: bool,
    concurrency: int,
) -> list[str]:
    """Write the metadata of what is planned below `root`, and return the paths of the groups made in between.

    Raises
    ------
    streamzarr.errors.NodeExistsError
        Something is there already, and `overwrite` is false; nothing has been written then.
    streamzarr.errors.MetadataError
        Metadata cannot be written; nothing has been then.
    """
    if concurrency < 1:
        raise ConfigError(f"concurrency: expected at least 1, got {concurrency}")
    places = {path: _below(root, path) for path in planned}
    documents = {
        path: encoded_documents(store, places[path], each.metadata) for path, each in planned.items()
    }
    if not overwrite:
        parallel.for_each(lambda path: check_absent(store, places[path]), planned, concurrency)
    taken = set(places.values())
    between = {above for place in taken for above in ancestors(place)} - taken
    made: set[str] = set()

    def require(place: str) -> None:
        if require_group_node(store, place, zarr_format):
            made.add(place)

    outside = {place for place in between if taken.isdisjoint(ancestors(place))}
    parallel.for_each(
        require, outside, concurrency
    )  # before anything is deleted: an array above is a mistake
    if overwrite:
        for place in taken:
            if taken.isdisjoint(ancestors(place)):
                store.delete_prefix(place)
    parallel.for_each(require, between - outside, concurrency)
    parallel.for_each(
        lambda path: write_node(store, places[path], documents[path], overwrite=overwrite),
        planned,
        concurrency,
    )
    inside = f"{root}/" if root else ""
    return sorted(place[len(inside) :] for place in made if place.startswith(inside) and place != root)


def _below(root: str, path: str) -> str:
    return key_below(root, path) if path else root
