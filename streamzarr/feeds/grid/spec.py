"""What a grid is told: step, keys, lateness, and what becomes of several values in one slot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.meaning import HOW, STEP
from streamzarr.feeds.times import SPAN
from streamzarr.stream import Field

How: TypeAlias = Literal["last", "first", "min", "max", "sum", "mean", "count", "ohlc"]

TIME: Final = "time"
COUNT: Final = "count"
"""How many records are in a slot."""
CHUNK_BYTES: Final = 1 << 20
GAP_SLOTS: Final = 1 << 26
"""Slots of a gap, at most, where those without records are stored: 18 hours of milliseconds."""

_PARTS: Final[Mapping[str, Mapping[str, str]]] = {
    "ohlc": {"_open": "first", "_high": "max", "_low": "min", "_close": "last"},
    "mean": {"": "mean", "_count": "count"},  # of how many values: so one more can be put in
}
COLUMN: Final = "streamzarr_column"
"""Attribute of a field: the column that it is of."""


@dataclass(frozen=True, slots=True)
class Output:
    """One field of the grid: which column it is of, and how values of a slot become one."""

    name: str
    column: str
    how: str
    dtype: np.dtype[Any]
    fill: Any
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GridSpec:
    """A grid, checked.

    Examples
    --------
    >>> columns = {"t": ColumnSpec("t", "M8[ms]"), "bid": ColumnSpec("bid", "f8")}
    >>> spec = GridSpec("t", step=10**9, key=None, keys=1, lateness=0, ahead=10**12, values={"bid": "ohlc"})
    >>> [output.name for output in spec.outputs(columns)]
    ['bid_open', 'bid_high', 'bid_low', 'bid_close']
    """

    time: str
    """The column with the time of a record."""
    step: int
    """Nanoseconds of a slot."""
    key: str | None
    """The column with its key; None: all records are of one."""
    keys: int | tuple[str, ...]
    """How many keys there is room for, or all there are."""
    lateness: int
    """Nanoseconds by which a record may be late."""
    ahead: int
    """Nanoseconds by which a record may be ahead of the clock; and of all before it, unless its time is about
    that of the record itself, as when nothing came for long."""
    values: Mapping[str, How]
    dense: bool = True
    """Whether slots without records are stored."""

    @property
    def longest_gap(self) -> int:
        """Nanoseconds by which any record may be ahead of all before it: a gap that is stored is bounded."""
        return min(SPAN - 1, GAP_SLOTS * self.step) if self.dense else SPAN - 1

    @property
    def reach(self) -> int:
        """Nanoseconds by which a record may be ahead of all before it that only its own time speaks for."""
        return min(self.ahead, self.longest_gap)

    @property
    def clock_reach(self) -> int:
        """Nanoseconds by which a record may be ahead of the clock: so much that slots close meanwhile."""
        return self.ahead + self.lateness + self.step

    @property
    def room(self) -> int:
        """Number of keys that fit."""
        return self.keys if isinstance(self.keys, int) else len(self.keys)

    def outputs(self, columns: Mapping[str, ColumnSpec]) -> list[Output]:
        """Return the fields, but for time and count; columns of numbers that are not named have their last.

        Raises
        ------
        streamzarr.errors.ConfigError
            A column is not there, or has no numbers.
        """
        return outputs_of(columns, self.values, self.time, self.key, {TIME, COUNT}, "grid")

    def schema(self, columns: Mapping[str, ColumnSpec], chunk_rows: int | None) -> dict[str, Field]:
        """Return the fields of the stream; raises as :meth:`outputs`."""
        rows = chunk_rows or max(1, CHUNK_BYTES // (8 * self.room))
        shape = {"shape": (self.room,), "dimension_names": ("key",), "chunk_rows": rows}
        fields = {
            each.name: Field(each.dtype, fill_value=each.fill, attributes=each.attributes, **shape)  # type: ignore[arg-type]
            for each in self.outputs(columns)
        }
        return {
            TIME: Field("M8[ns]", sorted=True, chunk_rows=rows, attributes={STEP: self.step}),
            COUNT: Field("u4", **shape),  # type: ignore[arg-type]
            **fields,
        }

    def bars(self, columns: Mapping[str, ColumnSpec]) -> dict[str, Field]:
        """Return the fields of a stream whose rows are slots that have records; raises as :meth:`outputs`."""
        outputs = self.outputs(columns)
        if self.key in (TIME, COUNT, *(each.name for each in outputs)):
            raise ConfigError(f"the key is {self.key!r}, as another field; give its column another name")
        return {
            TIME: Field("M8[ns]", sorted=True, attributes={STEP: self.step}),
            **({} if self.key is None else {self.key: Field("string")}),
            COUNT: Field("u4"),
            **{
                each.name: Field(each.dtype, fill_value=each.fill, attributes=each.attributes)
                for each in outputs
            },
        }


def outputs_of(
    columns: Mapping[str, ColumnSpec],
    values: Mapping[str, How],
    time: str,
    key: str | None,
    own: set[str],
    what: str,
) -> list[Output]:
    """Return the fields, but for the layout's own; columns of numbers that are not named have their last.

    Raises
    ------
    streamzarr.errors.ConfigError
        A column is not there, or has no numbers, or a field is called as one that the layout, `what`, has of
        its `own`.
    """
    for name in (time, *([key] if key else []), *values):
        if name not in columns:
            raise ConfigError(f"no column {name!r}, there are {', '.join(columns)}")
    if columns[time].dtype.kind != "M":
        raise ConfigError(f"time is column {time!r}, which is no datetime64")
    if key is not None and columns[key].dtype.kind not in "TUiufb":
        raise ConfigError(
            f"key is column {key!r}, which is {columns[key].type_name}, expected texts or numbers"
        )
    if told := values.keys() & {time, key}:
        raise ConfigError(f"values has {min(told)!r}, which is the time or the key, and is a field as it is")
    found: list[Output] = []
    for name, spec in columns.items():
        if name in (time, key) or (spec.of_record and name not in values):
            continue
        how = values.get(name, "last" if spec.dtype.kind in "iufb" else None)
        if how is None:
            continue
        if spec.dtype.kind not in "iuf" + "b" * (how in ("last", "first", "count")):
            raise ConfigError(f"column {name!r} is {spec.type_name}, and has no {how}")
        found += [_output(f"{name}{part}", spec, each) for part, each in _PARTS.get(how, {"": how}).items()]
    names = [each.name for each in found]
    if taken := own & {*names}:
        raise ConfigError(f"a field may not be called {min(taken)!r}, which the {what} has itself")
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"two fields would be called {min(twice)!r}; give a column another name")
    return found


def check_how(values: Mapping[str, str]) -> None:
    """Raise :class:`~streamzarr.errors.ConfigError` unless each value is a way to make one of several."""
    for name, how in values.items():
        if how not in get_args(How):
            raise ConfigError(f"{name} is {how!r}, expected one of {', '.join(get_args(How))}")


def _output(name: str, spec: ColumnSpec, how: str) -> Output:
    dtype = _dtype(spec.dtype, how)
    fill: Any = np.nan if dtype.kind == "f" else None
    if how in ("count", "sum"):
        fill = 0
    elif how != "mean" and spec.fill is not None:
        fill = spec.fill
    return Output(name, spec.name, how, dtype, fill, {**spec.attributes, HOW: how, COLUMN: spec.name})


def _dtype(column: np.dtype[Any], how: str) -> np.dtype[Any]:
    match how:
        case "count":
            return np.dtype("u4")
        case "mean":
            return np.dtype("f8")
        case "sum":
            return np.dtype({"f": "f8", "u": "u8"}.get(column.kind, "i8"))
    return column
