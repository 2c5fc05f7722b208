"""What the numbers at a path are by a schema of Avro: through unions, and through names of types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_STAMPS = (("millis", "ms"), ("micros", "us"), ("nanos", "ns"))
TIMES: Final = {
    "time-millis": "ms",
    "time-micros": "us",
    "date": "D",
    **{f"timestamp-{name}": unit for name, unit in _STAMPS},
    **{f"local-timestamp-{name}": unit for name, unit in _STAMPS},
}
"""Units of logical types whose numbers are taken as they are."""
LOCAL: Final = frozenset({"date", *(f"local-timestamp-{name}" for name, _ in _STAMPS)})
"""Those of times without an offset."""
_NUMBERS: Final = ("int", "long", "float", "double")
_NAMED: Final = ("record", "error", "enum", "fixed")


@dataclass(frozen=True, slots=True)
class Number:
    """What a number is by a schema."""

    kind: str
    logical: str = ""

    @property
    def unit(self) -> str | None:
        """Of a time; None: the schema states none."""
        return TIMES.get(self.logical)

    @property
    def is_local(self) -> bool:
        """Whether it is a time without an offset."""
        return self.logical in LOCAL


Named = Mapping[str, tuple[Any, str]]
"""Types by their full names, each with the namespace that is around it."""


def numbers_at(document: Any, others: Sequence[Any], steps: Sequence[str]) -> set[Number]:
    """Return what numbers at a path of a schema may be.

    Parameters
    ----------
    document
        The schema, as JSON gives it.
    others
        Schemas whose types it names.

    Examples
    --------
    >>> at = {"type": "long", "logicalType": "timestamp-millis"}
    >>> schema = {"type": "record", "name": "R", "fields": [{"name": "at", "type": ["null", at, "string"]}]}
    >>> [number] = numbers_at(schema, [], ["at"])
    >>> number, number.unit
    (Number(kind='long', logical='timestamp-millis'), 'ms')
    """
    named: dict[str, tuple[Any, str]] = {}
    for each in (*others, document):
        _note(each, "", named)
    return set(_numbers(document, "", tuple(steps), named))


def _note(node: Any, namespace: str, named: dict[str, tuple[Any, str]]) -> None:
    """Note the types that a schema defines."""
    if isinstance(node, list):
        for each in node:
            _note(each, namespace, named)
    elif isinstance(node, dict):
        if node.get("type") in _NAMED:
            named[full_name(node, namespace)] = (node, namespace)
            namespace = within(node, namespace)
        for key in ("type", "items", "values", "fields"):
            _note(node.get(key), namespace, named)


def _numbers(node: Any, namespace: str, steps: tuple[str, ...], named: Named) -> Iterator[Number]:
    if isinstance(node, list):
        for each in node:
            yield from _numbers(each, namespace, steps, named)
    elif isinstance(node, str):
        if (known := named.get(_qualified(node, namespace)) or named.get(node)) is not None:
            yield from _numbers(*known, steps, named)
        elif node in _NUMBERS and not steps:
            yield Number(node)
    elif isinstance(node, dict):
        yield from _numbers_within(node, namespace, steps, named)


def _numbers_within(
    node: Mapping[str, Any], namespace: str, steps: tuple[str, ...], named: Named
) -> Iterator[Number]:
    kind = node.get("type")
    if kind in ("array", "map"):
        if steps:
            yield from _numbers(
                node.get("items" if kind == "array" else "values"), namespace, steps[1:], named
            )
    elif kind in ("record", "error"):
        inner = within(node, namespace)
        for each in node.get("fields", ()):
            if steps and each.get("name") == steps[0]:
                yield from _numbers(each, inner, steps[1:], named)
    elif kind in _NUMBERS and not steps:
        yield Number(str(kind), str(node.get("logicalType") or ""))
    elif kind not in _NAMED:
        yield from _numbers(kind, namespace, steps, named)


def full_name(node: Mapping[str, Any], namespace: str) -> str:
    """Return the name of a type that `node` defines within a namespace."""
    name = str(node.get("name"))
    return _qualified(name, str(node.get("namespace", namespace) or ""))


def within(node: Mapping[str, Any], namespace: str) -> str:
    """Return the namespace of what a type holds."""
    return full_name(node, namespace).rpartition(".")[0]


def _qualified(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"
