"""cast_value and scale_offset: the registry's own examples, every rounding, every way out of the range."""

import json
import math

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import CodecError, MetadataError
from streamzarr.stores import MemoryStore
from streamzarr.zarr.codecs.casts import cast
from streamzarr.zarr.dtypes.small import small_dtype


def made(data, *filters, fill_value=0, **options) -> sz.Array:
    data = np.asarray(data)
    z = sz.create_array(
        MemoryStore(),
        shape=data.shape,
        dtype=data.dtype,
        chunks=options.pop("chunks", data.shape),
        filters=list(filters),
        compressors=None,
        fill_value=fill_value,
        **options,
    )
    z[...] = data
    return z


def cast_to(data_type, **configuration):
    return {"name": "cast_value", "configuration": {"data_type": data_type, **configuration}}


def scaled(**configuration):
    return {"name": "scale_offset", "configuration": configuration} if configuration else "scale_offset"


# The registry's examples ------------------------------------------------------------------------------------


def test_range_reduction():
    z = made(np.array([1000, 1255, 1001], "u2"), scaled(offset=1000), cast_to("uint8"), fill_value=1000)
    assert z.store.get("c/0").hex() == "00ff01"
    assert sz.open_array(z.store)[...].tolist() == [1000, 1255, 1001]


def test_floats_as_bytes_with_a_place_for_nan():
    scalar_map = {"encode": [["NaN", 0]], "decode": [[0, "NaN"]]}
    values = np.array([0.0, 2540.0, np.nan, 100.0])
    filters = scaled(offset=-10, scale=0.1), cast_to("uint8", rounding="nearest-even", scalar_map=scalar_map)
    z = made(values, *filters, fill_value=np.nan)
    assert z.store.get("c/0").hex() == "01ff000b"
    np.testing.assert_allclose(sz.open_array(z.store)[...], values)


def test_as_numpy_casts():
    scalar_map = {"encode": [["NaN", 0], ["+Infinity", 0], ["-Infinity", 0]]}
    options = {"rounding": "towards-zero", "out_of_range": "wrap", "scalar_map": scalar_map}
    z = made(np.array([np.nan, np.inf, -np.inf, 300.7, -1.5, 7]), cast_to("uint8", **options))
    assert z.store.get("c/0").hex() == "0000002cff07"
    assert json.loads(z.store.get("zarr.json"))["codecs"][0] == cast_to("uint8", **options)


@pytest.mark.parametrize(("out_of_range", "expected"), [("clamp", 127), ("wrap", -128), (None, None)])
def test_one_more_than_the_greatest(out_of_range, expected):
    numbers = np.array([128.0])
    if expected is None:
        with pytest.raises(CodecError, match="128"):
            cast(numbers, np.dtype("i1"), "nearest-even", None)
    else:
        assert cast(numbers, np.dtype("i1"), "nearest-even", out_of_range).tolist() == [expected]


def test_wrapping_is_that_of_twos_complement():
    numbers = np.array([32768, 32769, -32769, 2**31 - 1], "i4")
    wrapped = [-32768, -32767, 32767, -1]
    for given in (numbers, numbers.astype("f8"), numbers.astype("i8")):
        assert cast(given, np.dtype("i2"), "nearest-even", "wrap").tolist() == wrapped
    assert cast(numbers, small_dtype("int4"), "nearest-even", "wrap").astype(int).tolist() == [0, 1, -1, -1]
    huge = np.array([2.0**64, -1.0, 1e300])
    assert cast(huge, np.dtype("u8"), "nearest-even", "wrap").tolist() == [0, 2**64 - 1, 0]


# Rounding ---------------------------------------------------------------------------------------------------

HALVES = [-2.5, -1.5, -0.5, -0.4, 0.4, 0.49999999999999994, 0.5, 1.5, 2.5]
ROUNDED = {
    "nearest-even": [-2, -2, 0, 0, 0, 0, 0, 2, 2],
    "nearest-away": [-3, -2, -1, 0, 0, 0, 1, 2, 3],
    "towards-zero": [-2, -1, 0, 0, 0, 0, 0, 1, 2],
    "towards-positive": [-2, -1, 0, 0, 1, 1, 1, 2, 3],
    "towards-negative": [-3, -2, -1, -1, 0, 0, 0, 1, 2],
}


@pytest.mark.parametrize(("rounding", "expected"), ROUNDED.items())
def test_halves(rounding, expected):
    assert cast(np.array(HALVES), np.dtype("i1"), rounding, None).tolist() == expected


@pytest.mark.parametrize(
    ("rounding", "expected"),
    {
        "nearest-even": 2.0**53,
        "nearest-away": 2.0**53 + 2,
        "towards-zero": 2.0**53,
        "towards-positive": 2.0**53 + 2,
        "towards-negative": 2.0**53,
    }.items(),
)
def test_integers_that_floats_do_not_have(rounding, expected):
    assert cast(np.array([2**53 + 1], "i8"), np.dtype("f8"), rounding, None).tolist() == [expected]


def test_the_greatest_integers_towards_zero():
    for number, dtype, expected in ((2**64 - 1, "f8", 2.0**64 - 2048), (2**63 - 1, "f4", 2.0**63 - 2**39)):
        assert cast(np.array([number]), np.dtype(dtype), "towards-zero", None).tolist() == [expected]


def test_a_number_is_rounded_once():
    """By way of float32, 1 + 2**-11 + 2**-40 would be a tie in float16."""
    number = np.array([1 + 2.0**-11 + 2.0**-40])
    assert cast(number, np.dtype("f2"), "nearest-even", None).tolist() == [1 + 2.0**-10]


def test_subnormals_and_signs_of_zero():
    tiny = np.array([2.0**-25, 2.0**-24, -(2.0**-26), -0.0])
    assert cast(tiny, np.dtype("f2"), "nearest-even", None).tobytes().hex() == "0000010000800080"
    assert cast(tiny, np.dtype("f2"), "towards-positive", None).tobytes().hex() == "0100010000800080"


# The range of floats ----------------------------------------------------------------------------------------


def test_rounding_comes_before_the_range():
    for number in (65519.0, 65504.0):
        assert cast(np.array([number]), np.dtype("f2"), "nearest-even", None).tolist() == [65504]
    assert cast(np.array([65530.0]), np.dtype("f2"), "towards-zero", None).tolist() == [65504]
    with pytest.raises(CodecError, match="65504"):
        cast(np.array([65520.0]), np.dtype("f2"), "nearest-even", None)
    beyond = cast(np.array([65520.0, -1e9]), np.dtype("f2"), "nearest-even", "clamp")
    assert beyond.tolist() == [math.inf, -math.inf]


@pytest.mark.parametrize(
    ("name", "clamped"),
    [
        ("float8_e4m3fn", [448, -448, 0]),
        ("float4_e2m1fn", [6, -6, 0]),
        ("float8_e8m0fnu", [2.0**127, 2.0**-127, 2.0**-127]),
    ],
)
def test_types_without_infinities_end_at_their_greatest(name, clamped):
    numbers = np.array([1e300, -1e300, 0.0])
    found = cast(numbers, small_dtype(name), "nearest-even", "clamp")
    assert found.astype(float).tolist() == clamped
    for special in (math.inf, -math.inf):
        with pytest.raises(CodecError, match="infinity"):
            cast(np.array([special]), small_dtype(name), "nearest-even", "clamp")


def test_nan_passes_to_types_that_have_it_and_no_other():
    nan = cast(np.array([np.nan]), small_dtype("float8_e4m3fn"), "nearest-even", None)
    assert np.isnan(nan.astype(float)).all()
    for dtype in (np.dtype("i4"), small_dtype("float4_e2m1fn")):
        with pytest.raises(CodecError, match="NaN"):
            cast(np.array([np.nan]), dtype, "nearest-even", "clamp")


# In an array ------------------------------------------------------------------------------------------------


def test_the_first_of_equal_keys_holds_and_the_map_comes_before_the_range():
    scalar_map = {"encode": [[300, 7], [300, 8], [-1, 9]], "decode": [[9, -1], [7, 300]]}
    z = made(np.array([300, -1, 5], "i4"), cast_to("uint8", scalar_map=scalar_map))
    assert z.store.get("c/0").hex() == "070905"
    assert sz.open_array(z.store)[...].tolist() == [300, -1, 5]
    with pytest.raises(CodecError, match="301"):
        z[0] = 301


def test_the_fill_value_goes_through_the_chain_and_is_what_absent_inner_chunks_hold():
    filters = scaled(offset=100), cast_to("uint8")
    z = made(np.full(8, 103, "i4"), *filters, fill_value=103, chunks=2, shards=(8,))
    assert list(z.store.list()) == ["zarr.json"]
    z[1] = 104
    assert sz.open_array(z.store)[...].tolist() == [103, 104, *[103] * 6]


def test_sharding_behind_a_cast_leaves_out_what_is_the_cast_fill_value():
    sharding = {"name": "sharding_indexed", "configuration": {"chunk_shape": [2], "codecs": ["bytes"]}}
    z = made(np.array([7, 7, 9, 7], "i4"), cast_to("uint8"), fill_value=7, serializer=sharding)
    assert len(z.store.get("c/0")) == 2 + 2 * 16 + 4
    assert sz.open_array(z.store)[...].tolist() == [7, 7, 9, 7]


@pytest.mark.parametrize(
    ("dtype", "fill", "configuration"),
    [
        ("f8", np.nan, {"data_type": "uint8"}),
        ("f8", np.nan, {"data_type": "uint8", "scalar_map": {"encode": [["NaN", 0]]}}),
        ("i4", 300, {"data_type": "uint8"}),
        ("i4", 300, {"data_type": "uint8", "out_of_range": "clamp"}),
        ("i4", 300, {"data_type": "uint8", "out_of_range": "wrap"}),
        ("i4", 5, {"data_type": "uint8", "scalar_map": {"encode": [[5, 0]]}}),
    ],
)
def test_a_fill_value_that_does_not_come_back_is_refused(dtype, fill, configuration):
    with pytest.raises(MetadataError, match="cast_value"):
        made(np.zeros(2, dtype), {"name": "cast_value", "configuration": configuration}, fill_value=fill)


def test_a_fill_value_may_be_rounded():
    z = made(np.array([1.0, 2.0]), cast_to("float32"), fill_value=0.1)
    assert sz.open_array(z.store)[...].tolist() == [1, 2]


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"data_type": "string"},
        {"data_type": "complex64"},
        {"data_type": "bool"},
        {"data_type": "int7"},
        {"data_type": "uint8", "rounding": "up"},
        {"data_type": "uint8", "out_of_range": "saturate"},
        {"data_type": "float32", "out_of_range": "wrap"},
        {"data_type": "uint8", "more": 1},
        {"data_type": "uint8", "scalar_map": []},
        {"data_type": "uint8", "scalar_map": {"both": []}},
        {"data_type": "uint8", "scalar_map": {"encode": [[1]]}},
        {"data_type": "uint8", "scalar_map": {"encode": [[1, 300]]}},
        {"data_type": "uint8", "scalar_map": {"encode": [["one", 1]]}},
    ],
)
def test_casts_that_cannot_be(configuration):
    with pytest.raises(MetadataError, match="cast_value"):
        made(np.zeros(2), {"name": "cast_value", "configuration": configuration})


@pytest.mark.parametrize("dtype", ["bool", "c8", "U2", "M8[s]"])
@pytest.mark.parametrize("codec", [cast_to("uint8"), scaled(offset=1)])
def test_arrays_that_are_no_real_numbers(dtype, codec):
    with pytest.raises(MetadataError, match="cannot"):
        made(np.zeros(2, dtype), codec, fill_value=None)


# scale_offset -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["i1", "u2", "i8", "u8", "f2", "f4", "f8", "int4", "bfloat16"])
def test_scaled_in_their_own_type(dtype):
    dtype = small_dtype(dtype) or np.dtype(dtype)
    values = np.array([3, 2, 4]).astype(dtype)
    z = made(values, scaled(offset=2, scale=3), fill_value=2)
    stored = np.frombuffer(z.store.get("c/0"), dtype)
    assert stored.astype(float).tolist() == [3, 0, 6]
    assert sz.open_array(z.store)[...].tobytes() == values.tobytes()


def test_without_a_configuration_nothing_happens():
    z = made(np.array([1.5, 2]), "scale_offset")
    assert json.loads(z.store.get("zarr.json"))["codecs"][0] == {"name": "scale_offset"}
    assert np.frombuffer(z.store.get("c/0")).tolist() == [1.5, 2]


@pytest.mark.parametrize(
    ("dtype", "value", "configuration"),
    [
        ("u2", 999, {"offset": 1000}),
        ("i1", 100, {"scale": 2}),
        ("i1", -128, {"scale": -1}),
        ("i8", 2**62, {"scale": 2}),
        ("u8", 2**63, {"scale": 2}),
        ("i8", -(2**63), {"offset": 1}),
    ],
)
def test_integers_do_not_wrap(dtype, value, configuration):
    fill = configuration.get("offset", 0)
    z = made(np.full(2, fill, dtype), scaled(**configuration), fill_value=fill)
    with pytest.raises(CodecError, match="scale_offset"):
        z[0] = value


def test_what_cannot_be_divided_is_an_error():
    z = made(np.array([1, 2], "i4"), scaled(scale=3))
    z.store.put("c/0", np.array([3, 4], "<i4").tobytes())
    with pytest.raises(CodecError, match="divided by 3"):
        z[...]


@pytest.mark.parametrize(
    "configuration",
    [{"scale": 0}, {"offset": 0.5}, {"offset": "1"}, {"scale": 300}, {"gain": 2}, {"offset": [1]}],
)
def test_scales_that_cannot_be(configuration):
    with pytest.raises(MetadataError, match="scale_offset"):
        made(np.zeros(2, "u1"), {"name": "scale_offset", "configuration": configuration})
