"""Layouts of packed structs, as a file or Python gives them."""

import numpy as np
import pytest

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.struct_ import StructDecoder

TICK = np.dtype([("at", "<i8"), ("best", [("bid", "<f4"), ("ask", "<f4")]), ("sizes", ">u2", (3,))])
COLUMNS = {
    "at": ColumnSpec("at", "i8"),
    "ask": ColumnSpec("ask", "f4", source="best.ask"),
    "last": ColumnSpec("last", "i4", source="sizes.2"),
}


@pytest.mark.parametrize(
    "dtype",
    [
        TICK,
        [["at", "<i8"], ["best", [["bid", "<f4"], ["ask", "<f4"]]], ["sizes", ">u2", [3]]],
        [("at", "<i8"), ("best", [("bid", "<f4"), ("ask", "<f4")]), ("sizes", ">u2", (3,))],
        {"at": "<i8", "best": [["bid", "<f4"], ["ask", "<f4"]], "sizes": "(3,)>u2"},
    ],
)
@pytest.mark.parametrize("each", [1, 4])
def test_fields_may_hold_fields_and_several_values(dtype, each):
    rows = np.frombuffer(bytes(range(TICK.itemsize)) * 4, TICK)
    values = [rows[at : at + each].tobytes() for at in range(0, 4, each)]
    decoded = StructDecoder(COLUMNS, dtype=dtype)(values)
    np.testing.assert_array_equal(decoded.columns["at"], rows["at"])
    np.testing.assert_array_equal(decoded.columns["ask"], rows["best"]["ask"])
    np.testing.assert_array_equal(decoded.columns["last"], rows["sizes"][:, 2])


@pytest.mark.parametrize("dtype", [[["at"]], ["at", "i8"], [["at", [["b"]]]], [1, 2], 5, [["at", 5]]])
def test_what_is_no_layout_is_refused_with_what_was_given(dtype):
    with pytest.raises(ConfigError, match="which numpy does not take"):
        StructDecoder({"at": ColumnSpec("at", "i8")}, dtype=dtype)
