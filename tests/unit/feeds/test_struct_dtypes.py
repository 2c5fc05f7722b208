"""Layouts of packed structs, as a file or Python gives them."""

import numpy as np
import pytest

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.struct_ import StructDecoder
from tests.support.decoding import specs

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


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["U2", "string", "O", "f8", "M8[s]"])
@pytest.mark.parametrize("codes", [(0xD800, 0x41), (0x41, 0xDFFF), (0x110000, 0), (0xFFFFFFFF, 0xFFFFFFFF)])
def test_bytes_that_are_no_text_are_bad_whatever_the_column(codes, dtype, order):
    good = np.array(["1"], f"{order}U2").tobytes()
    no_text = np.array(codes, f"{order}u4").tobytes()
    decode = StructDecoder(specs(s=dtype), dtype=[["s", f"{order}U2"]])
    found = decode([good, no_text, good])
    assert 1 in found.bad
    found.bad[1].encode()
    if dtype in ("U2", "string"):
        assert found.columns["s"].tolist() == ["1", "1"]


@pytest.mark.parametrize("dtype", ["U2", "string"])
def test_texts_of_messages_of_which_none_is_whole(dtype):
    found = StructDecoder(specs(s=dtype), dtype=[["s", "<U2"]])([b"xyz"])
    assert found.bad == {0: "struct: got 3 bytes, expected a multiple of 8 (s)"}


def test_any_byte_but_zero_is_true():
    decode = StructDecoder(specs(ok="?"), dtype=[["ok", "?"]])
    found = decode([bytes([each]) for each in (0, 1, 2, 255)])
    assert found.columns["ok"].view("u1").tolist() == [0, 1, 1, 1]
