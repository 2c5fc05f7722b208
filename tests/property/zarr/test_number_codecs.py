"""Casts against the library that zarr-python uses, packed bits against integers, small types in parts."""

from __future__ import annotations

import numpy as np
from cast_value_rs import cast_array
from hypothesis import given, settings
from hypothesis import strategies as st

import streamzarr.zarr as sz
from streamzarr.errors import CodecError
from streamzarr.limits import DEFAULT_LIMITS
from streamzarr.stores import MemoryStore
from streamzarr.zarr.codecs.base import ChunkSpec
from streamzarr.zarr.codecs.casts import ROUNDINGS, cast
from streamzarr.zarr.codecs.packbits import PackbitsCodec
from streamzarr.zarr.dtypes.small import bits_of, small_dtype

quick = settings(max_examples=150, deadline=None)
NUMBERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
SMALL = [
    *("int2", "int4", "uint2", "uint4", "bfloat16"),
    *("float8_e4m3", "float8_e5m2", "float6_e2m3fn", "float4_e2m1fn"),
]


def elements(dtype: np.dtype, seed: int, count: int) -> np.ndarray:
    """Any bits that the type has, or numbers about the edges of other types."""
    rng = np.random.default_rng(seed)
    raw = rng.bytes(count * dtype.itemsize)
    bits = bits_of(dtype)
    if bits and bits < 8:
        return (np.frombuffer(raw, "u1") & np.uint8(2**bits - 1)).view(dtype)
    if bits or rng.random() < 0.5:
        return np.frombuffer(raw, dtype)
    near = 2.0 ** rng.integers(0, 65, count) * rng.choice([-1, 1], count) + rng.integers(-4, 5, count) / 2
    if dtype.kind == "f":
        return near.astype(dtype)
    info = np.iinfo(dtype)
    return np.array([min(max(int(x), info.min), info.max) for x in near], dtype)


@quick
@given(
    st.sampled_from(NUMBERS),
    st.sampled_from(NUMBERS),
    st.sampled_from(ROUNDINGS),
    st.sampled_from([None, "clamp", "wrap"]),
    st.integers(0, 2**32 - 1),
)
def test_casts_equal_those_of_cast_value_rs(source, target, rounding, out_of_range, seed):
    given_, wanted = np.dtype(source), np.dtype(target)
    if out_of_range == "wrap" and wanted.kind == "f":
        out_of_range = None
    with np.errstate(all="ignore"):
        values = elements(given_, seed, 30)
        for value in values.reshape(-1, 1):  # one by one, since one that is refused refuses all
            try:
                theirs = cast_array(
                    value,
                    target_dtype=wanted,
                    rounding_mode=rounding,
                    out_of_range_mode=out_of_range,
                    scalar_map_entries=None,
                )
            except ValueError:
                theirs = None
            try:
                ours = cast(value, wanted, rounding, out_of_range)
            except CodecError:
                ours = None
            assert (ours is None) == (theirs is None), value
            if ours is not None:
                np.testing.assert_array_equal(ours, theirs)
                assert np.signbit(ours).tolist() == np.signbit(theirs).tolist() or (ours != ours).all()


@quick
@given(st.sampled_from([*SMALL, *NUMBERS]), st.data())
def test_packed_bits_are_those_of_integers(name, data):
    dtype = small_dtype(name) or np.dtype(name)
    width = bits_of(dtype) or 8 * dtype.itemsize
    first = data.draw(st.integers(0, width - 1))
    last = data.draw(st.integers(first, width - 1))
    padding = data.draw(st.sampled_from(["none", "first_byte", "last_byte"]))
    values = elements(dtype, data.draw(st.integers(0, 2**32 - 1)), data.draw(st.integers(0, 40)))
    spec = ChunkSpec(values.shape, dtype, np.zeros((), dtype)[()])
    codec = PackbitsCodec(padding, first, last).adapted(spec, DEFAULT_LIMITS)
    stored = bytes(codec.encode(values, spec))
    each = last - first + 1
    packed, count = 0, 0
    for element in values.view(f"u{dtype.itemsize}").tolist():
        packed |= (element >> first & (1 << each) - 1) << count
        count += each
    plain = packed.to_bytes(-(-count // 8), "little")
    pad = bytes([-count % 8])
    assert stored == {"none": plain, "first_byte": pad + plain, "last_byte": plain + pad}[padding]
    again = codec.decode(stored, spec)
    assert bytes(codec.encode(again, spec)) == stored
    if each == width:
        assert again.tobytes() == values.tobytes()


@quick
@given(
    st.sampled_from(SMALL),
    st.sampled_from([2, 3]),
    st.sampled_from(["auto", "packbits", "bytes"]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_small_types_written_in_parts(name, zarr_format, serializer, sharded, seed):
    rng = np.random.default_rng(seed)
    options = {"zarr_format": 2} if zarr_format == 2 else {"serializer": serializer}
    if zarr_format == 3 and name == "bfloat16" and serializer == "bytes":
        options["serializer"] = {"name": "bytes", "configuration": {"endian": "big"}}
    if zarr_format == 3 and sharded:
        options["shards"] = (8, 6)
    dtype = small_dtype(name)
    z = sz.create_array(MemoryStore(), shape=(11, 7), chunks=(4, 3), dtype=name, **options)
    expected = np.zeros((11, 7), dtype)
    for _ in range(3):
        rows, columns = (slice(*sorted(rng.integers(0, n + 1, 2))) for n in expected.shape)
        new = elements(dtype, int(rng.integers(2**32)), expected[rows, columns].size)
        z[rows, columns] = expected[rows, columns] = new.reshape(expected[rows, columns].shape)
        assert sz.open_array(z.store)[...].tobytes() == expected.tobytes()
