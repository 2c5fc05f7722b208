"""The codecs of numcodecs in v3 chains, both ways with zarr-python; and through v2 arrays."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
import zarr.codecs.numcodecs as theirs

import streamzarr.zarr as sz
from streamzarr.errors import ChecksumError, CodecError
from streamzarr.stores import MemoryStore

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

INTEGERS, FLOATS = np.arange(24, dtype="i4").reshape(4, 6), np.linspace(0, 5, 24).reshape(4, 6)

FILTERS = {
    "delta": (INTEGERS, theirs.Delta(dtype="<i4")),
    "delta narrow": (INTEGERS, theirs.Delta(dtype="<i4", astype="<i2")),
    "fixedscaleoffset": (FLOATS, theirs.FixedScaleOffset(offset=0, scale=100, dtype="<f8", astype="<u2")),
    "quantize": (FLOATS, theirs.Quantize(digits=2, dtype="<f8")),
    "bitround": (FLOATS, theirs.BitRound(keepbits=10)),
    "astype": (FLOATS, theirs.AsType(encode_dtype="<f4", decode_dtype="<f8")),
    "packbits": (INTEGERS % 2 == 0, theirs.PackBits()),
}
COMPRESSORS = {
    "bz2": theirs.BZ2(level=3),
    "zlib": theirs.Zlib(level=3),
    "lzma": theirs.LZMA(preset=1),
    "lz4": theirs.LZ4(),
    "shuffle": theirs.Shuffle(elementsize=8),
    "crc32": theirs.CRC32(),
    "adler32": theirs.Adler32(),
    "fletcher32": theirs.Fletcher32(),
    "jenkins": theirs.JenkinsLookup3(),
}


def both_ways(tmp_path, values, **options):
    for side, other in ((sz, zarr), (zarr, sz)):
        path = str(tmp_path / side.__name__)
        created = side.create_array(path, shape=values.shape, chunks=(3, 6), dtype=values.dtype, **options)
        created[...] = values
        assert np.array_equal(other.open_array(path, mode="r")[...], created[...])
        np.testing.assert_allclose(created[...], values, atol=0.01)
    ours, other = (sorted((tmp_path / side.__name__).rglob("c/*/*")) for side in (sz, zarr))
    assert [path.read_bytes() for path in ours] == [path.read_bytes() for path in other]


@pytest.mark.parametrize("name", FILTERS)
def test_filters(tmp_path, name):
    values, codec = FILTERS[name]
    both_ways(tmp_path, values, filters=[codec], compressors=None)


@pytest.mark.parametrize("name", COMPRESSORS)
def test_compressors(tmp_path, name):
    both_ways(tmp_path, FLOATS, compressors=[COMPRESSORS[name]])


def test_chains(tmp_path):
    both_ways(
        tmp_path,
        INTEGERS,
        filters=[theirs.Delta(dtype="<i4")],
        compressors=[theirs.Shuffle(elementsize=4), theirs.Zlib(level=1)],
    )


@pytest.mark.parametrize("name", ["crc32", "adler32", "fletcher32", "jenkins"])
def test_checksums_are_checked(name):
    z = sz.create_array(MemoryStore(), data=FLOATS, chunks=(4, 6), compressors=[COMPRESSORS[name]])
    damaged = bytearray(z.store.get("c/0/0"))
    damaged[20] ^= 1
    z.store.put("c/0/0", damaged)
    with pytest.raises(ChecksumError, match=r"chunk \(0, 0\).*" + name):
        z[...]


@pytest.mark.parametrize("name", ["bz2", "zlib", "lzma", "lz4", "shuffle"])
def test_damage_is_found(name):
    z = sz.create_array(MemoryStore(), data=FLOATS, chunks=(4, 6), compressors=[COMPRESSORS[name]])
    whole = z.store.get("c/0/0")
    for damaged in (b"", whole[:10], whole[:-1]):
        z.store.put("c/0/0", damaged)
        with pytest.raises(CodecError, match=r"chunk \(0, 0\)"):
            z[...]


@pytest.mark.parametrize("name", ["delta", "fixedscaleoffset", "quantize", "astype"])
def test_a_filter_takes_its_dtype_from_the_array(name):
    values, codec = FILTERS[name]
    configuration = dict(codec.to_dict()["configuration"])
    configuration.pop("dtype", None)
    configuration.pop("decode_dtype", None)
    z = sz.create_array(
        MemoryStore(),
        data=values,
        filters={"name": f"numcodecs.{name}", "configuration": configuration},
    )
    np.testing.assert_allclose(sz.open_array(z.store)[...], values, atol=0.01)


def test_every_name_of_numcodecs_is_known():
    known = {name.removeprefix("numcodecs.") for name in sz.codec_names()}
    assert {
        "adler32",
        "astype",
        "bitround",
        "bz2",
        "delta",
        "lz4",
        "lzma",
        "packbits",
        "zlib",
        "pcodec",
    } <= known
    assert "pickle" not in known


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_gzip_never_writes_the_time_of_day(zarr_format):
    config = (
        {"id": "gzip", "level": 5} if zarr_format == 2 else {"name": "numcodecs.gzip", "configuration": {}}
    )
    z = sz.create_array(MemoryStore(), data=FLOATS, compressors=config, zarr_format=zarr_format)
    assert z.store.get("0.0" if zarr_format == 2 else "c/0/0")[4:8] == bytes(4)
