"""What a route is told, and which target a row belongs to. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.zarr.nodes.paths import DOCUMENTS

MAX_TARGETS: Final = 1000
"""A commit puts each target that has new rows."""
MAX_FOLDER: Final = 200
"""Bytes of a target's group; file systems take 255."""
KINDS: Final = "TUbiu"
"""Of dtypes whose values are one text each."""

Indices: TypeAlias = npt.NDArray[np.intp]

_PARTITION: Final = re.compile(r"p\d+")


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """By which column rows go to which target, checked."""

    by: str
    """The column whose value names the target."""
    targets: int | tuple[str, ...]
    """How many there is room for, in the order in which they come; or which there are."""
    other: str | None = None
    """The target of rows that have none; None: their records are bad."""

    def check(self, columns: Mapping[str, ColumnSpec]) -> None:
        """Raise :class:`~streamzarr.errors.ConfigError` unless rows of these columns can be routed."""
        if self.by not in columns:
            raise ConfigError(f"no column {self.by!r}, there are {', '.join(columns)}")
        if columns[self.by].dtype.kind not in KINDS:
            raise ConfigError(
                f"column {self.by!r} is {columns[self.by].type_name}, expected texts or integers"
            )
        names = () if isinstance(self.targets, int) else self.targets
        count = self.targets if isinstance(self.targets, int) else len(names)
        if count > MAX_TARGETS:
            raise ConfigError(f"{count} targets, at most {MAX_TARGETS} allowed")
        for name in (*names, *(() if self.other is None else (self.other,))):
            if problem := self.problem(name):
                raise ConfigError(problem)

    def problem(self, name: str) -> str:
        """Return why `name` can be that of no target; empty: it can."""
        if not name:
            return f"{self.by} is empty, which names no target"
        if len(folder_of(name)) > MAX_FOLDER:
            return f"{self.by} is {name[:50]!r}..., too long for the name of a target"
        return ""


@dataclass(frozen=True, slots=True)
class Routing:
    """Where rows of each name go, and which of those targets are new."""

    targets: Mapping[str, str]
    """By the name that a row has; a name that is missing here has none."""
    new: tuple[str, ...]
    """In the order in which they came."""
    refused: Mapping[str, str]
    """Why a name has no target."""


def route(names: Iterable[str], known: Collection[str], spec: RouteSpec) -> Routing:
    """Return where rows of these names go; a target that is there stays, whatever the configuration says now.

    Examples
    --------
    >>> spec = RouteSpec("symbol", 2)
    >>> found = route(["BTC", "ETH", "BTC", "XRP", ""], ["BTC"], spec)
    >>> found.new, found.refused["XRP"]
    (('ETH',), 'there is no room for a target XRP, 2 are there')
    >>> route(["BTC", "XRP"], ["BTC"], RouteSpec("symbol", ("BTC",), other="rest")).targets
    {'BTC': 'BTC', 'XRP': 'rest'}
    """
    there = dict.fromkeys(known)
    taken = len(there.keys() - {spec.other})
    targets, refused, new = dict[str, str](), dict[str, str](), list[str]()
    for name in dict.fromkeys(names):
        problem = "" if name in there else _problem(name, taken, spec)
        target = spec.other if problem else name
        if target is None:
            refused[name] = problem
            continue
        targets[name] = target
        if target not in there:
            there[target] = None
            new.append(target)
            taken += target != spec.other
    return Routing(targets, tuple(new), refused)


def grouped(names: Sequence[str]) -> dict[str, Indices]:
    """Return the rows of each name, ascending; names in the order in which they come.

    >>> grouped(["b", "a", "b"])
    {'b': array([0, 2]), 'a': array([1])}
    """
    if not names:
        return {}
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    codes = np.fromiter(map(numbers.__getitem__, names), np.intp, len(names))
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(numbers)))
    return dict(zip(numbers, np.split(order, ends[:-1]), strict=True))


def folder_of(name: str) -> str:
    """Return the name of the group of a target: no two have one, and any text may be a name.

    >>> folder_of("EURUSD"), folder_of("BTC/USD"), folder_of(".."), folder_of("p00001"), folder_of("__x")
    ('EURUSD', 'BTC%2FUSD', '%2E.', '%7000001', '%5F_x')
    """
    quoted = quote(name, safe=" +=@", errors="surrogatepass")
    reserved = quoted in DOCUMENTS or not quoted.strip(".") or quoted.startswith("__")
    if quoted and (reserved or _PARTITION.fullmatch(quoted)):
        return f"%{ord(quoted[0]):02X}{quoted[1:]}"
    return quoted


def _problem(name: str, taken: int, spec: RouteSpec) -> str:
    """Return why no target may be made for `name`; empty: it may."""
    if problem := spec.problem(name):
        return problem
    if isinstance(spec.targets, int):
        full = name != spec.other and taken >= spec.targets
        return f"there is no room for a target {name[:100]}, {taken} are there" if full else ""
    return "" if name in spec.targets or name == spec.other else f"there is no target {name[:100]}"
