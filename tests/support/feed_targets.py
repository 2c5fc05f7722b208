"""What is in the targets of feeds, as zarr-python reads them, against what was sent."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from streamzarr.feeds import open_grid
from tests.support.feed_records import KEYS, STEP, Columns, Expected

QUARTER = 0.25
"""What a record's bid has more than its number."""


def check_log(target: str, expected: Expected) -> None:
    """Compare the rows of a partition: each record once, in order."""
    group, rows = _group(target, expected), expected.rows()
    assert np.array_equal(group["offset"][:], rows["offset"])
    assert np.array_equal(group["at"][:].astype("M8[ms]").astype(np.int64), rows["at"])
    assert np.array_equal(group["n"][:], rows["n"])
    assert np.array_equal(group["bid"][:], rows["n"] + QUARTER)
    assert np.array_equal(group["s"][:], rows["s"])


def check_grid(target: str, expected: Expected) -> None:
    """Compare the slots of a partition, and those with the late records that were replayed."""
    group, slots = _group(target, expected), expected.slots()
    part = open_grid(target).parts[expected.partition]
    assert sorted(part.keys) == sorted(KEYS)
    assert np.array_equal(_slots(group["time"][:]), slots)
    wanted = _planes(expected.cells(), slots, part.keys)
    folded = _planes(expected.cells(with_late=True), slots, part.keys)
    for name in wanted:
        assert np.array_equal(group[name][:, : len(part.keys)], wanted[name], equal_nan=True), name
        assert np.array_equal(part.plane(name), folded[name], equal_nan=True), name


def check_bars(target: str, expected: Expected) -> None:
    """Compare the bars of a partition; of one slot they are in any order of their keys."""
    group, cells = _group(target, expected), expected.cells()
    slots, keys = _slots(group["time"][:]), group["s"][:].astype(object).astype(str)
    assert (np.diff(slots) >= 0).all()
    order = np.lexsort([keys, slots])
    assert np.array_equal(slots[order], cells["slot"])
    assert np.array_equal(keys[order], cells["key"])
    assert np.array_equal(group["count"][:][order], cells["count"])
    assert np.array_equal(group["n"][:][order], cells["sum"])
    for name in ("open", "high", "low", "close"):
        assert np.array_equal(group[f"bid_{name}"][:][order], cells[name] + QUARTER), name


def _group(target: str, expected: Expected) -> Any:
    return zarr.open_group(f"{target}/p{expected.partition:05d}", mode="r")


def _slots(times: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return times.astype("M8[ms]").astype(np.int64) // STEP


def _planes(cells: Columns, slots: npt.NDArray[np.int64], keys: tuple[str, ...]) -> Columns:
    """Return the fields of a grid, slots x keys."""
    columns = {key: column for column, key in enumerate(keys)}
    at = cells["slot"] - slots[0], np.array([columns[key] for key in cells["key"].tolist()])
    shape = len(slots), len(keys)
    planes = {"count": np.zeros(shape, int), "n": np.zeros(shape, int), "bid": np.full(shape, np.nan)}
    for name, values in (("count", cells["count"]), ("n", cells["sum"]), ("bid", cells["close"] + QUARTER)):
        planes[name][at] = values
    return planes
