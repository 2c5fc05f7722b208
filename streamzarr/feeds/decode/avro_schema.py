"""Avro's schemas: read from JSON, made safe, and what they say of a column's times."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.nesting import is_deeper
from streamzarr.feeds.decode.paths import Path

_STAMPS = (("millis", "ms"), ("micros", "us"), ("nanos", "ns"))
TIMES: Final = {
    "time-millis": "ms",
    "time-micros": "us",
    "date": "D",
    **{f"timestamp-{name}": unit for name, unit in _STAMPS},
    **{f"local-timestamp-{name}": unit for name, unit in _STAMPS},
}
"""Units of logical types whose numbers are taken as they are; others are left to fastavro."""
MAX_DEPTH: Final = 200
"""Levels of a schema's JSON, of which a record takes three."""
_PRIMITIVES: Final = frozenset({"boolean", "int", "long", "float", "double", "bytes", "string"})


@dataclass(frozen=True, slots=True)
class AvroSchema:
    """A schema by which messages were written."""

    parsed: Any
    """As fastavro takes it; its times are plain numbers."""
    document: Any
    """As it was given."""

    @classmethod
    def of(cls, given: Any, where: str) -> AvroSchema:
        """Return a schema from JSON, or from what JSON would give.

        Raises
        ------
        streamzarr.errors.ConfigError
            It is none; or has arrays of what takes no bytes, of which a message could hold any number; or
            holds itself, so that a message could be nested without end; or is nested too deep.
        """
        import fastavro

        text = given.encode() if isinstance(given, str) else given
        if isinstance(text, bytes) and is_deeper(text, MAX_DEPTH):
            raise ConfigError(f"{where}: nested more than {MAX_DEPTH} deep, as JSON")
        try:
            document = json.loads(text) if isinstance(text, bytes) else text
            parsed = fastavro.parse_schema(_without_times(document))
            fault = _fault(document)
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            RecursionError,
            fastavro.schema.SchemaParseException,
        ) as error:
            raise ConfigError(f"{where}: not a schema of Avro: {type(error).__name__}: {error}") from error
        if fault:
            raise ConfigError(f"{where}: {fault}")
        return cls(parsed, document)

    def columns(self, columns: Mapping[str, ColumnSpec], records: str | None) -> dict[str, ColumnSpec]:
        """Return the columns with the units of times that the schema states and they do not."""
        return {name: self._with_unit(spec, records) for name, spec in columns.items()}

    def _with_unit(self, spec: ColumnSpec, records: str | None) -> ColumnSpec:
        if spec.unit is not None or spec.dtype.kind not in "mM":
            return spec
        path = Path.of(spec.path)
        above = () if path.whole or records in (None, ".") else Path.of(str(records)).steps
        node = _descend(self.document, (*above, *path.steps) if not above else (*above, "0", *path.steps))
        unit = TIMES.get(node.get("logicalType", "")) if isinstance(node, dict) else None
        return spec if unit is None else replace(spec, unit=cast(Any, unit))


def _fault(document: Any) -> str:
    """Return why messages of a schema that fastavro takes would not be bounded; empty: they are."""
    named = _named(document)
    if name := next((name for name, node in named.items() if _holds(node, name, named, set())), None):
        return f"type {name!r} holds itself, so that nothing bounds how deep it is"
    if any(not _takes_bytes(each["items"], named) for each in _nodes(document) if "items" in each):
        return "has arrays of what takes no bytes, so that nothing bounds their length"
    return ""


def _without_times(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_times(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: value
        for key, value in node.items()
        if not (key == "logicalType" and isinstance(value, str) and value in TIMES)
    }
    for key in ("type", "items", "values"):
        if key in kept:
            kept[key] = _without_times(kept[key])
    if isinstance(kept.get("fields"), list):
        kept["fields"] = [_without_times(each) for each in kept["fields"]]
    return kept


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for each in node:
            yield from _nodes(each)
    elif isinstance(node, dict):
        yield node
        for key in ("type", "items", "values", "fields"):
            yield from _nodes(node.get(key))


def _named(document: Any) -> dict[str, dict[str, Any]]:
    """Return the types that have names, by those."""
    kinds = ("record", "error", "enum", "fixed")
    return {_short(str(node.get("name"))): node for node in _nodes(document) if node.get("type") in kinds}


def _short(name: str) -> str:
    """Return a name without its namespace: two types taken for one refuse too much, never too little."""
    return name.rpartition(".")[2]


def _holds(node: Any, name: str, named: Mapping[str, Any], seen: set[str]) -> bool:
    """Tell whether a type by this name is somewhere within `node`."""
    if isinstance(node, str):
        if _short(node) == name:
            return True
        if _short(node) not in named or _short(node) in seen:
            return False
        seen.add(_short(node))
        return _holds(named[_short(node)], name, named, seen)
    if isinstance(node, list):
        return any(_holds(each, name, named, seen) for each in node)
    if not isinstance(node, dict):
        return False
    inner = [node[key] for key in ("items", "values", "fields") if key in node]
    if node.get("type") not in ("enum", "fixed"):
        inner.append(node.get("type"))
    return any(_holds(each, name, named, seen) for each in inner)


def _takes_bytes(node: Any, named: Mapping[str, Any]) -> bool:
    """Tell whether each value of a type takes a byte or more."""
    if isinstance(node, list):
        return True  # the number of the branch
    if isinstance(node, str):
        return node in _PRIMITIVES or (_short(node) in named and _takes_bytes(named[_short(node)], named))
    kind = node.get("type")
    if kind == "fixed":
        return bool(node.get("size"))
    if kind in ("record", "error"):
        return any(_takes_bytes(each.get("type"), named) for each in node.get("fields", ()))
    return kind in ("enum", "array", "map") or _takes_bytes(kind, named)


def _descend(node: Any, steps: tuple[str, ...]) -> Any:
    """Return the type at a path, of a union the one that is not null; None where there is none."""
    while isinstance(node, list) or (isinstance(node, dict) and isinstance(node.get("type"), dict | list)):
        if isinstance(node, dict):
            node = node["type"]
            continue
        some = [each for each in node if each != "null"]
        node = some[0] if len(some) == 1 else None
    if not steps or not isinstance(node, dict):
        return node
    step, rest = steps[0], steps[1:]
    if node.get("type") == "array":
        return _descend(node.get("items"), rest)
    if node.get("type") == "map":
        return _descend(node.get("values"), rest)
    for each in node.get("fields", ()):
        if each.get("name") == step:
            return _descend(each, rest)
    return None
