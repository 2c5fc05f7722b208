"""What cannot be a field."""

import pytest

from streamzarr.errors import ConfigError
from streamzarr.stream import Field
from streamzarr.stream.schema import Schema


@pytest.mark.parametrize("names", [("x", "x"), ("row", "x"), ("y", "row")])
def test_dimensions_of_one_name_are_refused(names):
    schema = Schema.of({"frame": Field("u1", shape=(2, 3), dimension_names=names)})
    with pytest.raises(ConfigError, match=r"field 'frame': dimension_names .*, expected names that differ"):
        schema.arrays(10)


def test_dimensions_without_a_name_are_no_two_of_one_name():
    [array] = (
        Schema.of({"frame": Field("u1", shape=(2, 3), dimension_names=(None, None))}).arrays(10).values()
    )
    assert array.dimension_names == ("row", None, None)
