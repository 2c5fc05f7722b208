"""The demo's field: the same every time, and shaped like the sea."""

import numpy as np
import pytest

from streamzarr.demo.field import SeaSurface
from streamzarr.errors import ConfigError

SHAPE = (90, 180)


@pytest.fixture(scope="module")
def sea():
    return SeaSurface(SHAPE)


def test_any_week_can_be_made_again(sea):
    again = SeaSurface(SHAPE)
    np.testing.assert_array_equal(again.weeks(3, 5)[1], sea.week(4))
    assert not np.array_equal(sea.week(3), sea.week(4), equal_nan=True)
    assert not np.array_equal(SeaSurface(SHAPE, seed=1).week(3), sea.week(3), equal_nan=True)


def test_it_is_shaped_like_the_sea(sea):
    year = sea.weeks(0, 52)
    assert year.dtype == np.float32
    land = np.isnan(year)
    assert 0.25 < land.mean() < 0.35
    assert (land == land[0]).all(), "land does not move"
    assert np.nanmin(year) > 271
    assert np.nanmax(year) < 310
    rows = np.nanmean(year, axis=(0, 2))
    assert rows[45] > rows[10] + 15, "the tropics are warm"
    north, south = np.nanmean(year[:, 65:75], axis=(1, 2)), np.nanmean(year[:, 15:25], axis=(1, 2))
    assert np.corrcoef(north, south)[0, 1] < -0.8, "seasons are opposed"
    steps = year[~land] / 0.01
    assert np.abs(steps - np.round(steps)).max() < 0.01, "stored in hundredths of a kelvin"


def test_a_map_needs_cells():
    with pytest.raises(ConfigError, match="at least 2"):
        SeaSurface((1, 5))
