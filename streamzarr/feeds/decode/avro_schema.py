"""Avro's schemas: read from JSON, made safe, and what they say of the times of columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, cast

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.avro_plain import plain, register
from streamzarr.feeds.decode.avro_times import Number, numbers_at
from streamzarr.feeds.decode.layout import Meant
from streamzarr.feeds.decode.nesting import is_deeper
from streamzarr.feeds.decode.paths import Path
from streamzarr.feeds.decode.values import Values

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
    others: tuple[Any, ...] = ()
    """Schemas whose types it names."""

    @classmethod
    def of(cls, given: Any, where: str, others: Sequence[Any] = ()) -> AvroSchema:
        """Return a schema from JSON, or from what JSON would give; `others`: those whose types it names.

        Raises
        ------
        streamzarr.errors.ConfigError
            It is none; or has arrays of what takes no bytes, of which a message could hold any number; or
            holds itself, so that a message could be nested without end; or is nested too deep.
        """
        import fastavro

        register()
        try:
            *before, document = (_document(each, where) for each in (*others, given))
            known: dict[str, Any] = {}
            for each in before:
                fastavro.parse_schema(plain(each), known)
            parsed = fastavro.parse_schema(plain(document), known)
            fault = _fault([*before, document])
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
        return cls(parsed, document, tuple(before))

    def columns(self, columns: Mapping[str, ColumnSpec], records: str | None) -> dict[str, ColumnSpec]:
        """Return the columns with the units of times that the schema states and they do not."""
        return {name: self._with_unit(spec, records) for name, spec in columns.items()}

    def _with_unit(self, spec: ColumnSpec, records: str | None) -> ColumnSpec:
        if spec.unit is not None or spec.dtype.kind not in "mM":
            return spec
        units = {each.unit for each in self._numbers(spec, records)}
        if len(units) > 1:
            told = " or ".join(sorted(each or "no stated unit" for each in units))
            raise ConfigError(f"column {spec.name!r}: numbers of {told} by one schema; state unit")
        unit = next(iter(units), None)
        return spec if unit is None else replace(spec, unit=cast(Any, unit))

    def meant(self, columns: Mapping[str, ColumnSpec], records: str | None) -> dict[str, Meant]:
        """Return of columns what their values are by the schema, where Python's do not say it."""
        found: dict[str, Meant] = {}
        for name, spec in columns.items():
            numbers = self._numbers(spec, records)
            kinds = {each.kind for each in numbers}
            zoned = spec.dtype.kind == "M" and spec.zone not in (None, "UTC")
            local = {each.is_local for each in numbers} if zoned else set()
            if len(local) > 1:
                raise ConfigError(f"column {name!r}: numbers in UTC, and of its zone, by one schema")
            if True in local:
                found[name] = partial(Values.local, unit=str(spec.unit))
            elif "float" in kinds and "double" not in kinds:
                found[name] = Values.narrowed
        return found

    def _numbers(self, spec: ColumnSpec, records: str | None) -> set[Number]:
        """Return what numbers of a column may be."""
        path = Path.of(spec.path)
        places = [path.steps]
        if not path.whole and records in (None, "."):
            places.append(("0", *path.steps))  # of messages that are arrays of records
        elif not path.whole:
            places = [(*Path.of(str(records)).steps, "0", *path.steps)]
        return set().union(*(numbers_at(self.document, self.others, place) for place in places))


def _document(given: Any, where: str) -> Any:
    text = given.encode() if isinstance(given, str) else given
    if not isinstance(text, bytes):
        return text
    if is_deeper(text, MAX_DEPTH):
        raise ConfigError(f"{where}: nested more than {MAX_DEPTH} deep, as JSON")
    return json.loads(text)


def _fault(document: Any) -> str:
    """Return why messages of a schema that fastavro takes would not be bounded; empty: they are."""
    named = _named(document)
    if name := next((name for name, node in named.items() if _holds(node, name, named, set())), None):
        return f"type {name!r} holds itself, so that nothing bounds how deep it is"
    if any(not _takes_bytes(each["items"], named) for each in _nodes(document) if "items" in each):
        return "has arrays of what takes no bytes, so that nothing bounds their length"
    return ""


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
