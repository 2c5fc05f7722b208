"""packbits, bitround, zfp, pcodec and reshape: what is stored, and what is refused.

The bytes in ``ZARRS`` are what zarrs 0.23 (Rust) stored for these values.
"""

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import CodecError, MetadataError
from streamzarr.limits import DEFAULT_LIMITS
from streamzarr.stores import MemoryStore
from streamzarr.zarr.codecs.base import ChunkSpec
from streamzarr.zarr.codecs.bitround import BitroundCodec
from streamzarr.zarr.codecs.registry import lookup, parse_codec
from streamzarr.zarr.dtypes.small import small_dtype

GRID = np.arange(12).reshape(3, 4)
PCODEC = {
    "level": 8,
    "mode_spec": "auto",
    "delta_spec": "auto",
    "paging_spec": "equal_pages_up_to",
    "delta_encoding_order": None,
    "equal_pages_up_to": 262144,
}
ZARRS = [
    ("int4", [-8, -1, 0, 7, 3], "packbits", {}, "f87003"),
    ("uint2", [3, 2, 1, 0, 3], "packbits", {"padding_encoding": "last_byte"}, "1b0306"),
    ("bool", [1, 0, 1, 1, 0, 0, 0, 1, 1], "packbits", {"padding_encoding": "first_byte"}, "078d01"),
    ("float6_e2m3fn", [1, -7.5, 0.125, 2], "packbits", {}, "c81f40"),
    ("uint16", [1000, 512, 6], "packbits", {"first_bit": 1, "last_bit": 10}, "f4013400"),
    ("complex64", [1 + 2j, -1.5], "packbits", {"first_bit": 20}, "f80340fc0b00"),
    ("float32", GRID / 4, "zfp", {"mode": "reversible"}, "05960002100008040001000000000000"),
    ("uint8", GRID * 20, "zfp", {"mode": "reversible"}, "e6001580000632900004000000000000"),
    (
        *("int16", GRID * 1000 - 5000, "zfp", {"mode": "reversible"}),
        "8d002250810430000011a800023050000600000000000000",
    ),
    (
        *("uint32", GRID * 1000, "zfp", {"mode": "reversible"}),
        "1c0020800004000201400000001001086420010800000000",
    ),
    (
        *("float64", GRID / 3, "zfp", {"mode": "fixed_accuracy", "tolerance": 0.01}),
        "0368090d91000c60000318c000063080010c000000000000",
    ),
    (
        *("int32", GRID * 1000, "zfp", {"mode": "fixed_precision", "precision": 24}),
        "0000382446232a100100000000000000",
    ),
    (
        *("float32", np.arange(24).reshape(2, 3, 4) / 4, "zfp", {"mode": "fixed_rate", "rate": 12}),
        "0571c0011ca0000112088000002200" + "00" * 81,
    ),
    (
        *("float32", GRID / 4, "numcodecs.zfpy", {"mode": 4, "tolerance": 0.01}),
        "7a667005360000200000c0ca0371488c46542002000000000000000000000000",
    ),
    (
        *("int32", np.arange(12) * 7, "numcodecs.pcodec", PCODEC),
        "70636f21030003030401030b000071000000100101800000004000020002000000009224491200",
    ),
]
REVERSIBLE = {"name": "zfp", "configuration": {"mode": "reversible"}}
HEADED = {"name": "numcodecs.zfpy", "configuration": {"mode": 3, "precision": 30}}
RATE = {"name": "zfp", "configuration": {"mode": "fixed_rate", "rate": 16}}
PCO = {"name": "numcodecs.pcodec", "configuration": PCODEC}
LOSSY = {"fixed_accuracy", "fixed_precision", "fixed_rate", 4}


def array(name: str, values) -> np.ndarray:
    return np.asarray(values).astype(small_dtype(name) or name)


def whole_chunk(dtype, shape, serializer) -> sz.Array:
    options = {"chunks": shape, "serializer": serializer, "compressors": None}
    return sz.create_array(MemoryStore(), shape=shape, dtype=dtype, **options)


@pytest.mark.parametrize(("dtype", "values", "name", "configuration", "stored"), ZARRS)
def test_what_zarrs_stores_is_what_we_store_and_read(dtype, values, name, configuration, stored):
    values = array(dtype, values)
    codec = {"name": name, "configuration": configuration}
    z = whole_chunk(dtype, values.shape, codec)
    z[...] = values
    key = "c/" + "/".join("0" * values.ndim)
    assert z.store.get(key).hex() == stored
    read = sz.open_array(z.store)[...]
    if configuration.get("mode") in LOSSY:
        np.testing.assert_allclose(read, values, rtol=0.03, atol=0.05)
    else:
        assert read.tobytes() == values.tobytes()


NAMES = [
    *("bool", "int2", "uint4", "float4_e2m1fn", "bfloat16"),
    *("i1", "u2", "i4", "u8", "f2", "f4", "f8", "c8", "c16"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("padding", ["none", "first_byte", "last_byte"])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, (1 << 16) + 3])
def test_packbits_gives_back_every_bit(name, padding, count):
    dtype = small_dtype(name) or np.dtype(name)
    rng = np.random.default_rng(0)
    raw = np.frombuffer(rng.bytes(count * dtype.itemsize), "u1")
    limit = {"bool": 1, "int2": 3, "uint4": 15, "float4_e2m1fn": 15}.get(name, 255)
    values = (raw & limit).view(dtype)
    codec = parse_codec({"name": "packbits", "configuration": {"padding_encoding": padding}}, "x")
    spec = ChunkSpec((count,), dtype, values[:1])
    stored = codec.adapted(spec, DEFAULT_LIMITS).encode(values, spec)
    assert len(stored) == codec.encoded_size(spec)
    assert codec.decode(stored, spec).tobytes() == values.tobytes()


def test_packbits_takes_a_range_of_bits_and_extends_the_sign():
    spec = ChunkSpec((4,), np.dtype("i2"), np.int16(0))
    codec = parse_codec({"name": "packbits", "configuration": {"first_bit": 1, "last_bit": 4}}, "x")
    stored = codec.encode(np.array([-2, 14, 13, -16], "i2"), spec)
    assert len(stored) == 2
    assert codec.decode(stored, spec).tolist() == [-2, 14, 12, -16]


@pytest.mark.parametrize(
    ("configuration", "dtype"),
    [
        ({"padding_encoding": "middle"}, "i4"),
        ({"other": 1}, "i4"),
        ({"first_bit": -1}, "i4"),
        ({"first_bit": 3, "last_bit": 2}, "i4"),
        ({"last_bit": 32}, "i4"),
        ({"last_bit": 4}, "int4"),
        ({"first_bit": True}, "i4"),
        ({}, "U3"),
        ({}, "M8[s]"),
        ({}, [("a", "i4")]),
    ],
)
def test_packbits_that_cannot_be(configuration, dtype):
    with pytest.raises(MetadataError, match="packbits"):
        whole_chunk(dtype, (4,), {"name": "packbits", "configuration": configuration})


def test_packbits_of_a_wrong_size_or_padding():
    spec = ChunkSpec((9,), np.dtype(bool), np.False_)
    codec = parse_codec({"name": "packbits", "configuration": {"padding_encoding": "first_byte"}}, "x")
    for data in (b"", b"\7\1", b"\7\1\1\1", b"\6\1\1"):
        with pytest.raises(CodecError, match="packbits"):
            codec.decode(data, spec)


# bitround ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "keepbits", "values", "expected"),
    [
        ("f4", 3, [3.14159, -0.1, 1e30, 0], "000050400000d0bd0000507100000000"),
        ("u1", 3, [1, 7, 100, 255, 37], "010760e028"),
        ("i4", 2, [100, 123456, 7, 0], "60000000000002000800000000000000"),
    ],
)
def test_numbers_are_rounded_as_zarrs_does(dtype, keepbits, values, expected):
    codec = parse_codec({"name": "bitround", "configuration": {"keepbits": keepbits}}, "x")
    assert codec.encode(np.array(values, dtype)).tobytes().hex() == expected


def test_floats_are_rounded_as_numcodecs_does():
    from numcodecs import BitRound

    values = np.random.default_rng(0).normal(size=1000).astype("f4") * 1e5
    for keepbits in (1, 7, 22):
        ours = parse_codec({"name": "bitround", "configuration": {"keepbits": keepbits}}, "x").encode(values)
        assert ours.tobytes() == BitRound(keepbits).encode(values).tobytes()


def test_what_bitround_leaves_as_it_is():
    one = parse_codec({"name": "bitround", "configuration": {"keepbits": 1}}, "x")
    payload = np.array([0x7F800001, 0xFFFFFFFF, 0x7FC00000], "u4").view("f4")
    assert one.encode(payload).tobytes() == payload.tobytes()
    assert one.encode(np.array([-1, -(2**31), 2**31 - 1, -3], "i4")).tolist() == [-1, -(2**31), 2**30, -4]
    assert one.encode(np.array([2**64 - 1], "u8")).tolist() == [2**63]
    times = np.array(["NaT", "1970-01-01T00:00:03"], "M8[s]")
    assert one.encode(times).tolist() == np.array(["NaT", "1970-01-01T00:00:04"], "M8[s]").tolist()
    assert one.encode(np.array([1.1 + 3j], "c8")).tolist() == [1 + 3j]
    wide = parse_codec({"name": "bitround", "configuration": {"keepbits": 99}}, "x")
    assert wide.encode(np.array([0.1])).tolist() == [0.1]


@pytest.mark.parametrize(
    "configuration", [{}, {"keepbits": 0}, {"keepbits": "3"}, {"keepbits": 3, "more": 1}]
)
def test_bitround_needs_bits(configuration):
    with pytest.raises(MetadataError, match="keepbits"):
        parse_codec({"name": "bitround", "configuration": configuration}, "x")


@pytest.mark.parametrize("dtype", ["bool", "U3", "int4", "float8_e5m2", [("a", "f4")]])
def test_types_that_are_not_rounded(dtype):
    with pytest.raises(MetadataError, match="bitround"):
        sz.create_array(MemoryStore(), shape=2, dtype=dtype, filters=BitroundCodec(3))


# zfp and pcodec ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("zarrs.zfp", "zfp"),
        ("zfpy", "numcodecs.zfpy"),
        ("pcodec", "numcodecs.pcodec"),
        ("https://codec.zarrs.dev/array_to_bytes/zfp", "zfp"),
        ("https://codec.zarrs.dev/array_to_bytes/pcodec", "numcodecs.pcodec"),
        ("numcodecs.vlen-array", "vlen-array"),
    ],
)
def test_other_names_of_a_codec_are_read_and_its_own_is_written(alias, name):
    configuration = {"zfp": {"mode": "reversible"}, "numcodecs.zfpy": {"mode": 3, "precision": 9}}.get(
        name, {}
    )
    assert lookup(alias) is lookup(name)
    assert parse_codec({"name": alias, "configuration": configuration}, "x").to_json()["name"] == name


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"mode": 4},
        {"mode": "reversible", "rate": 3},
        {"mode": "fixed_rate"},
        {"mode": "fixed_rate", "rate": 0},
        {"mode": "fixed_precision", "precision": 1.5},
        {"mode": "fixed_accuracy", "tolerance": True},
        {"mode": "expert", "minbits": 1, "maxbits": 13, "maxprec": 19, "minexp": -2},
    ],
)
def test_zfp_that_cannot_be(configuration):
    with pytest.raises(MetadataError, match="zfp"):
        parse_codec({"name": "zfp", "configuration": configuration}, "x")


@pytest.mark.parametrize(("dtype", "shape"), [("c8", (4,)), ("U2", (4,)), ("bool", (4,)), ("f4", (1,) * 5)])
def test_arrays_that_zfp_does_not_have(dtype, shape):
    with pytest.raises(MetadataError, match="zfp has"):
        whole_chunk(dtype, shape, REVERSIBLE)


def test_numbers_that_zfp_would_clamp_are_refused():
    z = whole_chunk("u4", (2,), REVERSIBLE)
    z[...] = [2**31 - 1, 5]
    assert z[...].tolist() == [2**31 - 1, 5]
    with pytest.raises(CodecError, match="above 2147483647"):
        z[0] = 2**31


@pytest.mark.parametrize(
    "config", [{"mode": 4, "tolerance": 1e-3}, {"mode": 2, "rate": 16}, HEADED["configuration"]]
)
def test_a_header_that_was_cut_says_nothing(config):
    values = np.arange(16, dtype="f4").reshape(4, 4)
    z = whole_chunk("f4", values.shape, HEADED | {"configuration": config})
    z[...] = values
    whole = z.store.get("c/0/0")
    for cut in range(16):
        z.store.put("c/0/0", whole[:cut])
        with pytest.raises(CodecError, match="zfpy"):
            sz.open_array(z.store)[...]


@pytest.mark.parametrize("codec", [REVERSIBLE, HEADED, RATE, PCO], ids=lambda each: each["name"])
def test_a_stream_that_was_cut_is_an_error_wherever(codec):
    """zfp itself would read on in memory that is not its own."""
    values = np.random.default_rng(0).normal(size=(9, 11))
    z = whole_chunk("f8", values.shape, codec)
    z[...] = values
    whole = z.store.get("c/0/0")
    for cut in {0, 1, 4, 8, 12, 16, 40, len(whole) // 2, len(whole) - 16}:
        z.store.put("c/0/0", whole[:cut])
        with pytest.raises(CodecError):
            sz.open_array(z.store)[...]


@pytest.mark.parametrize(("codec", "serializer"), [("zfpy", HEADED), ("pcodec", PCO)])
@pytest.mark.parametrize("form", [("f4", (4, 4)), ("f8", (4, 5)), ("f8", (400, 400)), ("i4", (4, 4))])
def test_a_stream_of_another_array_is_an_error(codec, serializer, form):
    other = whole_chunk(*form, serializer)
    other[...] = 1
    z = whole_chunk("f8", (4, 4), serializer)
    z.store.put("c/0/0", other.store.get("c/0/0"))
    with pytest.raises(CodecError, match=codec):
        z[...]


@pytest.mark.parametrize("place", ["compressors", "filters"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("config", [{"id": "zfpy", "mode": 3, "precision": 40}, {"id": "pcodec"}], ids=str)
def test_in_v2_they_compress_numbers_as_filter_or_compressor(place, order, config):
    options = {"filters": None, "compressors": None, place: config, "order": order}
    values = np.arange(20, dtype="f8").reshape(4, 5) / 4
    z = sz.create_array(MemoryStore(), shape=(4, 5), chunks=(3, 5), dtype="f8", zarr_format=2, **options)
    z[...] = values
    np.testing.assert_allclose(sz.open_array(z.store)[...], values, atol=1e-6)
    z.store.put("0.0", z.store.get("0.0")[:20])
    with pytest.raises(CodecError):
        z[...]


# reshape ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ([[0, 1], 3, -1], (20, 3, 2)),
        ([-1], (120,)),
        ([[0], [1], [2]], (4, 5, 6)),
        ([[0], [], [1, 2]], (4, 1, 30)),
    ],
)
def test_reshape_keeps_the_order_of_elements(shape, expected):
    values = np.arange(120).reshape(4, 5, 6)
    z = sz.create_array(
        MemoryStore(),
        shape=(4, 5, 6),
        chunks=(4, 5, 6),
        dtype="i8",
        filters={"name": "reshape", "configuration": {"shape": shape}},
        compressors=None,
    )
    z[...] = values
    assert np.frombuffer(z.store.get("c/0/0/0"), "<i8").tolist() == values.ravel().tolist()
    assert sz.open_array(z.store)[...].tolist() == values.tolist()
    assert sz.open_array(z.store).filters[0].lengths((4, 5, 6)) == expected


@pytest.mark.parametrize(
    "shape",
    [
        None,
        [0],
        [-1, -1],
        [[1], [0]],
        [[1, 0], 6],
        [[3]],
        [7],
        [[0], 4, [2]],
        [20, [0], -1],
        [True],
        ["a"],
        [[-1]],
    ],
)
def test_reshape_that_cannot_be(shape):
    with pytest.raises(MetadataError, match="reshape"):
        sz.create_array(
            MemoryStore(),
            shape=(4, 5, 6),
            chunks=(4, 5, 6),
            dtype="i8",
            filters={"name": "reshape", "configuration": {"shape": shape}},
        )
