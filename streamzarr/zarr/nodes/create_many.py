"""Making a whole hierarchy at once: everything is checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from streamzarr.errors import ConfigError, ContainsArrayError
from streamzarr.limits import Limits
from streamzarr.stores import Store, join_url
from streamzarr.zarr.array import Array
from streamzarr.zarr.chunks import parallel
from streamzarr.zarr.create import new_array
from streamzarr.zarr.metadata import (
    ArrayMetadataV2,
    ArrayMetadataV3,
    GroupMetadataV2,
    GroupMetadataV3,
    NodeMetadata,
    new_group,
)
from streamzarr.zarr.metadata.document import plain_attributes
from streamzarr.zarr.nodes.creation import Creation, NewNode
from streamzarr.zarr.nodes.documents import (
    check_absent,
    lacks_group,
    make_group,
    write_node,
)
from streamzarr.zarr.nodes.overwrite import OldNode, clear, find_old, refuse_itself, remove_documents
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
        return Planned(spec.with_attributes(plain_attributes(spec.attributes, f"path {path!r}", limits)))
    options = dict(spec or {})
    if "shape" in options or "data" in options:
        try:
            metadata, data = new_array(limits=limits, zarr_format=zarr_format, **options)
        except TypeError as error:
            raise ConfigError(f"path {path!r}: {error}") from error
        return Planned(metadata, data)
    attributes = options.pop("attributes", None)
    if options:
        raise ConfigError(f"path {path!r}: a group has attributes alone, got {sorted(options)}")
    return Planned(new_group(zarr_format, attributes, f"path {path!r}", limits))


def _is_array(metadata: NodeMetadata) -> bool:
    return isinstance(metadata, ArrayMetadataV2 | ArrayMetadataV3)


def write_hierarchy(
    creation: Creation,
    store: Store,
    root: str,
    planned: Mapping[str, Planned],
    zarr_format: ZarrFormat,
    *,
    overwrite: bool,
    concurrency: int,
) -> dict[str, NodeMetadata]:
    """Write the metadata of what is planned below `root`, and return the groups made in between, by path.

    Arrays that come with data get their elements when `creation` finishes them.

    Raises
    ------
    streamzarr.errors.NodeExistsError
        Something is there already, and `overwrite` is false, or what belongs to no node; or the data lie in
        what is to be removed. Nothing has been written then.
    streamzarr.errors.MetadataError
        Metadata cannot be written; nothing has been then.
    """
    if concurrency < 1:
        raise ConfigError(f"concurrency: expected at least 1, got {concurrency}")
    places = {path: _below(root, path) for path in planned}
    new = {
        path: NewNode.of(
            store, places[path], each.metadata, has_data=each.data is not None, overwrite=overwrite
        )
        for path, each in planned.items()
    }
    taken = set(places.values())
    between = {above for place in taken for above in ancestors(place)} - taken
    outside = {place for place in between if taken.isdisjoint(ancestors(place))}
    old: dict[str, OldNode] = {}
    made: set[str] = set()

    def look(place: str) -> None:
        if lacks_group(store, place, zarr_format):
            made.add(place)

    def find(place: str) -> None:
        old[place] = find_old(store, place)

    parallel.for_each(look, outside, concurrency)
    if overwrite:
        tops = [place for place in taken if taken.isdisjoint(ancestors(place))]
        for each in planned.values():
            for place in tops if isinstance(each.data, Array) else ():
                refuse_itself(each.data.url, join_url(store.url, place), "written", overwrite=True)
        parallel.for_each(find, tops, concurrency)
    else:
        parallel.for_each(lambda place: check_absent(store, place), taken, concurrency)

    etags: dict[str, str] = {}
    parallel.for_each(lambda place: make_group(store, place, zarr_format), [*made], concurrency)
    parallel.for_each(lambda place: etags.update(clear(store, old[place])), old, concurrency)
    parallel.for_each(look, between - outside, concurrency)
    parallel.for_each(lambda place: make_group(store, place, zarr_format), made - outside, concurrency)
    replacing = etags if overwrite else None

    def write(node: NewNode) -> None:
        with creation.writing(node) as etags:
            etags.append(write_node(store, node.path, node.first, replacing=replacing))

    parallel.for_each(write, new.values(), concurrency)
    kept = {key for each in new.values() for key in each.documents}
    parallel.for_each(lambda place: remove_documents(store, old[place], kept), old, concurrency)
    inside = f"{root}/" if root else ""
    return {
        place[len(inside) :]: new_group(zarr_format)
        for place in made
        if place.startswith(inside) and place != root
    }


def _below(root: str, path: str) -> str:
    return key_below(root, path) if path else root
