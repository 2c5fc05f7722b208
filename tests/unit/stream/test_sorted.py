"""What stands first in a sorted field can be followed: NaN and NaT cannot."""

import pytest

import streamzarr as sz
from streamzarr.stores import MemoryStore
from streamzarr.stream import Field


@pytest.mark.parametrize(("dtype", "none", "some"), [("f8", float("nan"), 1.5), ("M8[s]", "NaT", "2026")])
def test_a_first_value_that_nothing_can_follow_is_refused(dtype, none, some):
    writer = sz.StreamWriter(MemoryStore(), schema={"x": Field(dtype, sorted=True)})
    for values in ([none], [none, some], [some, none]):
        with pytest.raises(ValueError, match="x is sorted, "):
            writer.append({"x": values})
    writer.append({"x": [some]})
    assert writer.rows == 1
