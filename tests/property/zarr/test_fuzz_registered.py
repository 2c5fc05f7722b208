"""Differential fuzzing of data types and codecs that only some have: each by a peer that has it.

Types of few bits by tensorstore, the codecs of numcodecs by zarr-python in both formats, casts by later
zarr-pythons. The registry's ``packbits`` and ``bitround`` no other Python has; see ``test_number_codecs``.
"""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.testing.strategies import basic_indices

import streamzarr.zarr as sz
from streamzarr.interop import ZarrStore
from streamzarr.stores import MemoryStore
from streamzarr.zarr.dtypes.small import bits_of, small_dtype
from tests.property.zarr.test_fuzz import fuzz, seeds

pytestmark = pytest.mark.filterwarnings("ignore")

IN_TENSORSTORE = [
    *("bfloat16", "int2", "int4", "float8_e3m4", "float8_e4m3fn", "float8_e4m3fnuz"),
    *("float8_e4m3b11fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn"),
]


def any_bits(dtype: np.dtype[Any], shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Any element that the type has."""
    count = int(np.prod(shape))
    raw = np.frombuffer(np.random.default_rng(seed).bytes(count * dtype.itemsize), f"u{dtype.itemsize}")
    bits = bits_of(dtype) or 8 * dtype.itemsize
    return (raw & np.array(2**bits - 1, raw.dtype)).view(dtype).reshape(shape)


def same(left: Any, right: Any) -> bool:
    """Bit for bit, of elements of fewer bits than a byte without the bits that mean nothing."""
    left, right = np.asarray(left), np.asarray(right)
    bits = bits_of(left.dtype) or 8
    if bits < 8:
        left, right = (each.view("u1") & np.uint8(2**bits - 1) for each in (left, right))
    return left.shape == right.shape and left.tobytes() == right.tobytes()


@st.composite
def grids(draw: st.DrawFn, least: int = 1, most: int = 3) -> dict[str, Any]:
    rank = draw(st.integers(least, most))
    return {
        "shape": draw(st.tuples(*[st.integers(1, 9)] * rank)),
        "chunks": draw(st.tuples(*[st.integers(1, 9)] * rank)),
    }


@fuzz(200)
@given(grids(), st.sampled_from(IN_TENSORSTORE), st.sampled_from([2, 3]), seeds, st.data())
def test_small_types_are_read_and_changed_by_tensorstore(form, name, zarr_format, seed, data):
    if (name, zarr_format) == ("float4_e2m1fn", 2):
        return  # in v2 tensorstore takes this type for raw bytes
    dtype = small_dtype(name)
    form |= {"dtype": name, "zarr_format": zarr_format}
    form["fill_value"] = any_bits(dtype, (1,), seed)[0]
    if name == "float8_e8m0fnu":
        form["fill_value"] = np.nan  # tensorstore 0.1.86 reads every number as another one
    if zarr_format == 3:
        form["compressors"] = data.draw(st.sampled_from([None, "zstd", ["gzip", "crc32c"]]))
        if data.draw(st.booleans()):
            form["shards"] = tuple(c * data.draw(st.integers(1, 3)) for c in form["chunks"])
        order = data.draw(st.permutations(range(len(form["shape"]))))
        form["filters"] = data.draw(
            st.sampled_from([None, [{"name": "transpose", "configuration": {"order": list(order)}}]])
        )
    else:
        form["compressors"] = data.draw(st.sampled_from([None, "zlib", "blosc"]))
    with tempfile.TemporaryDirectory() as folder:
        ours = sz.create_array(f"file://{folder}?fsync=false", **form)
        chosen = data.draw(basic_indices(shape=form["shape"]))
        ours[chosen] = any_bits(dtype, np.empty(form["shape"])[chosen].shape, seed + 1)
        spec = {
            "driver": "zarr" if zarr_format == 2 else "zarr3",
            "kvstore": {"driver": "file", "path": folder},
        }
        theirs = ts.open(spec | {"recheck_cached_data": True}).result()
        assert theirs.dtype.numpy_dtype == dtype
        assert same(theirs.read().result(), ours[...])
        new = any_bits(dtype, form["shape"], seed + 2)
        half = tuple(slice(0, (n + 1) // 2) for n in form["shape"])
        theirs[half].write(new[half]).result()
        assert same(ours[half], new[half])
        assert same(theirs.read().result(), ours[...])


CODECS: dict[str, tuple[str, ...]] = {
    "bitround": ("<f4", "<f8"),
    "packbits": ("|b1",),
    "pcodec": ("<i2", "<i4", "<i8", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8"),
    "zfpy": ("<i4", "<i8", "<f4", "<f8"),
    "delta": ("<i2", "<i8", "<u4"),
    "astype": ("<i2", "<u2"),
    "fixedscaleoffset": ("<f4", "<f8"),
    "quantize": ("<f4", "<f8"),
}


def codec_config(draw: Any, name: str, dtype: str) -> dict[str, Any]:
    match name:
        case "bitround":
            return {"keepbits": draw(st.integers(0, 23))}
        case "zfpy":
            whole = [{"mode": 2, "rate": 20}, {"mode": 3, "precision": 30}]  # integers have no tolerance
            return draw(
                st.sampled_from([*whole, {"mode": 4, "tolerance": 0.25}] if dtype[1] == "f" else whole)
            )
        case "delta":
            return {"dtype": dtype, "astype": dtype}
        case "astype":
            return {"encode_dtype": "<i8", "decode_dtype": dtype}
        case "fixedscaleoffset":
            return {"offset": draw(st.integers(-5, 5)), "scale": 10, "dtype": dtype, "astype": "<i4"}
        case "quantize":
            return {"digits": draw(st.integers(0, 3)), "dtype": dtype, "astype": dtype}
        case _:
            return {}


def numbers(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Numbers that every codec here can take: finite, and none is too large for an offset or a scale."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return (rng.integers(-4000, 4000, shape) / 16).astype(dtype)
    return rng.integers(0, 2 if dtype == "|b1" else 30_000, shape).astype(dtype)


@fuzz(200)
@given(grids(), st.sampled_from([2, 3]), st.sampled_from(sorted(CODECS)), seeds, st.data())
def test_codecs_of_numcodecs_are_read_and_changed_by_zarr_python(form, zarr_format, name, seed, data):
    dtype = data.draw(st.sampled_from(CODECS[name]))
    config = codec_config(data.draw, name, dtype)
    codec: dict[str, Any] = {"id": name, **config}
    if zarr_format == 3:
        codec = {"name": f"numcodecs.{name}", "configuration": config}
        if name == "packbits" and data.draw(st.booleans()):
            form["shards"] = form["chunks"]
    place = "serializer" if zarr_format == 3 and name in ("pcodec", "zfpy") else "filters"
    form |= {"dtype": dtype, "zarr_format": zarr_format, "fill_value": numbers(dtype, (1,), seed)[0]}
    form |= {place: codec if place == "serializer" else [codec]}
    form["compressors"] = data.draw(st.sampled_from([None, "gzip"]))
    inner = MemoryStore()
    ours = sz.create_array(inner, **form)
    chosen = data.draw(basic_indices(shape=form["shape"]))
    ours[chosen] = numbers(dtype, np.empty(form["shape"])[chosen].shape, seed + 1)
    theirs = zarr.open_array(ZarrStore(inner), mode="r+", zarr_format=zarr_format)
    assert same(theirs[...], ours[...])
    new = numbers(dtype, form["shape"], seed + 2)
    half = tuple(slice(0, (n + 1) // 2) for n in form["shape"])
    theirs[half] = new[half]
    assert same(theirs[...], sz.open_array(inner)[...])


LATER = pytest.mark.skipif(
    not find_spec("zarr.codecs.cast_value") or not find_spec("cast_value_rs"),
    reason="later zarr-pythons have it, with cast-value-rs",
)
WHOLE = ["int8", "int16", "int32", "uint8", "uint16", "float32", "float64"]


@LATER
@fuzz(150)
@given(
    *(grids(), st.sampled_from(WHOLE), st.sampled_from(WHOLE)),
    *(st.integers(-9, 9), st.sampled_from([None, 1, 2]), seeds),
)
def test_casts_and_offsets_are_read_and_changed_by_zarr_python(form, dtype, stored, offset, scale, seed):
    if dtype.startswith("u"):
        offset = abs(offset)
    scaled = {"offset": offset, **({} if scale is None else {"scale": scale})}
    form |= {"dtype": dtype, "fill_value": max(offset, 0), "compressors": None}
    form["filters"] = [
        {"name": "scale_offset", "configuration": scaled},
        {"name": "cast_value", "configuration": {"data_type": stored}},
    ]
    inner = MemoryStore()
    ours = sz.create_array(inner, **form)
    least = max(offset, 0)
    values = np.random.default_rng(seed).integers(least, least + 50, (2, *form["shape"])).astype(dtype)
    ours[...] = values[0]
    theirs = zarr.open_array(ZarrStore(inner), mode="r+")
    assert same(theirs[...], ours[...])
    half = tuple(slice(0, (n + 1) // 2) for n in form["shape"])
    theirs[half] = values[1][half]
    assert same(theirs[...], sz.open_array(inner)[...])
