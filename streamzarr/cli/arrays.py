"""``streamzarr info`` and ``streamzarr tree``: looking at what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from streamzarr.cli.options import examples, json_option
from streamzarr.cli.output import print_facts, print_json, print_line, printable, size
from streamzarr.errors import ConfigError
from streamzarr.hints import hint
from streamzarr.redact import redacted

if TYPE_CHECKING:
    from streamzarr.zarr import Array, Group


@click.command(
    epilog=examples(
        "streamzarr info altitude.zarr", "streamzarr info --count --json pyramid.zarr/0 | jq .chunks_stored"
    )
)
@click.argument("url")
@click.option("--count", is_flag=True, help="Count the stored chunks of an array too; lists the store.")
@json_option
def info(url: str, count: bool, as_json: bool) -> None:
    """Say how the array or group at URL is stored."""
    from streamzarr.zarr import Array, open  # noqa: A004

    node = open(url)
    facts = _array_facts(node) if isinstance(node, Array) else _group_facts(node)
    if count and isinstance(node, Array):
        facts["chunks_stored"] = node.nchunks_initialized
    if as_json:
        print_json(facts)
        return
    shown = {name: value for name, value in facts.items() if name != "attributes" and value is not None}
    shown["nbytes"] = size(facts["nbytes"]) if "nbytes" in facts else None
    print_facts(
        [(name.replace("_", " "), _words(value)) for name, value in shown.items() if value is not None]
    )
    for name, value in facts["attributes"].items():
        print_line(f"  @{name}  {value}")


@click.command(epilog=examples("streamzarr tree pyramid.zarr", "streamzarr tree --level 1 --json run7.zarr"))
@click.argument("url")
@click.option("--level", type=click.IntRange(min=1), help="Show so many levels; all without it.")
@json_option
def tree(url: str, level: int | None, as_json: bool) -> None:
    """Draw the hierarchy of the group at URL."""
    from streamzarr.zarr import Array, open  # noqa: A004

    node = open(url)
    if isinstance(node, Array):
        raise ConfigError(f"{redacted(url)} is an array, expected a group; see {hint('info', redacted(url))}")
    if as_json:
        members = node.members(max_depth=None if level is None else level - 1)
        print_json(
            {
                path: _array_facts(member) if isinstance(member, Array) else _group_facts(member)
                for path, member in members
            }
        )
        return
    click.echo("\n".join(printable(line) for line in str(node.tree(level)).splitlines()))


def _array_facts(array: Array) -> dict[str, Any]:
    document = array.metadata.to_json()
    grid = array.metadata.chunk_grid.to_json()["configuration"]
    unit, inner = grid.get("chunk_shape", grid.get("chunk_shapes")), array.metadata.inner_chunks
    codecs = (
        {"codecs": document["codecs"]}
        if array.zarr_format == 3
        else {"filters": document["filters"], "compressor": document["compressor"]}
    )
    return {
        "url": array.url,
        "type": "array",
        "zarr_format": array.zarr_format,
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "chunks": unit if inner is None else list(inner),
        "shards": None if inner is None else unit,
        "fill_value": document["fill_value"],
        "order": array.order,
        "dimension_names": None if array.dimension_names is None else list(array.dimension_names),
        **codecs,
        "number_of_chunks": array.nchunks,
        "nbytes": array.nbytes,
        "attributes": dict(array.attrs),
    }


def _group_facts(group: Group) -> dict[str, Any]:
    return {
        "url": group.url,
        "type": "group",
        "zarr_format": group.zarr_format,
        "arrays": sorted(group.array_keys()),
        "groups": sorted(group.group_keys()),
        "attributes": dict(group.attrs),
    }


def _words(value: Any) -> str:
    """Return a fact for people: lists as tuples, codecs by name."""
    if isinstance(value, dict):
        settings = {**value, **value.get("configuration", {})}
        name = settings.pop("id", settings.pop("name", ""))
        settings.pop("configuration", None)
        settings.pop("name", None)
        inner = ", ".join(f"{key}={each}" for key, each in settings.items())
        return f"{name}({inner})" if inner else str(name)
    if isinstance(value, list):
        return ", ".join(map(_words, value)) if any(isinstance(v, dict) for v in value) else str(tuple(value))
    return str(value)
