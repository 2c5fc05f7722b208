"""Whatever messages hold, decoders neither raise nor hang, and account for each.

``STREAMZARR_FUZZ=100`` tries a hundred times as much; ``tests/support/fuzz_by_coverage.py`` is for a fuzzer
that is guided by coverage.
"""

import gzip

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.decoding import decoded_soundly, share
from tests.support.fuzz_decoders import DECODERS, SEEDS

BYTES = st.binary(max_size=64)


@st.composite
def damaged(draw, seeds):
    """A message that was right, with some of it cut out, repeated or overwritten."""
    value = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(value)))
        stop = draw(st.integers(start, min(len(value), start + 16)))
        value[start:stop] = draw(st.binary(max_size=4) | st.just(bytes(value[start:stop]) * 2))
    return bytes(value)


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=share(25))
@given(data=st.data())
def test_each_message_has_rows_or_a_reason(name, data):
    messages = st.none() | BYTES | damaged(SEEDS[name]) | st.sampled_from(SEEDS[name])
    values = data.draw(st.lists(messages, max_size=6))
    decoder = DECODERS[name]()
    decoder(SEEDS[name])
    decoded = decoded_soundly(decoder, values)
    bad = {at for at, value in enumerate(values) if value is None}
    assert bad <= set(decoded.bad)


@pytest.mark.parametrize("name", DECODERS)
def test_what_is_right_has_rows(name):
    decoded = decoded_soundly(DECODERS[name](), SEEDS[name] * 3)
    assert not decoded.bad
    assert decoded.rows >= 3


objects = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["t", "p", "n", "s", "q"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@settings(max_examples=share(40))
@given(st.lists(objects, max_size=4))
def test_any_objects(messages):
    decoded_soundly(DECODERS["msgpack"](), [msgspec.msgpack.encode(each) for each in messages])
    texts = [msgspec.json.encode(each) for each in messages]
    decoded_soundly(DECODERS["json"](), texts)
    decoded_soundly(DECODERS["json_path"](), texts)
    decoded_soundly(DECODERS["json_gzip"](), [gzip.compress(each, 1) for each in texts])
    decoded_soundly(DECODERS["json_zstd"](), [zstandard.compress(each) for each in texts])


@settings(max_examples=share(100))
@given(st.binary(max_size=200), st.integers(0, 12))
def test_structs_are_as_python_unpacks_them(data, each):
    import struct

    values = [data[at : at + 13 * each] for at in range(0, len(data), max(1, 13 * each))]
    decoded = decoded_soundly(DECODERS["struct"](), values)
    good = [value for at, value in enumerate(values) if at not in decoded.bad]
    rows = [row for value in good for row in struct.iter_unpack("<qfB", value)]
    assert decoded.columns["n"].tolist() == [n for _, _, n in rows]
    assert decoded.columns["t"].view("i8").tolist() == [t for t, _, _ in rows]
    np.testing.assert_array_equal(decoded.columns["p"], np.array([p for _, p, _ in rows], "f4"))
