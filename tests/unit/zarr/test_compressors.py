"""The faster libraries under zstd, gzip, zlib and Blosc: the same formats, and bounds as before."""

from __future__ import annotations

import gzip
import threading
import zlib

import numcodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.errors import CodecError
from streamzarr.zarr.codecs import (
    BloscCodec,
    Bound,
    GzipCodec,
    ZstdCodec,
    blosc_buffers,
    bounded,
    deflated,
)

SIZES = [1, 100, 16 << 10, 100 << 10, 300 << 10, 1 << 20]
"""Below and above where zstd changes from kept contexts to others."""


def sample(size: int) -> bytes:
    return np.random.default_rng(size).integers(0, 8, size).astype("u1").tobytes()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("level", [-5, 0, 1, 9])
def test_zstd_has_the_bytes_of_numcodecs(size, level, checksum):
    data = sample(size)
    encoded = ZstdCodec(level, checksum).encode(data)
    assert encoded == numcodecs.Zstd(level, checksum).encode(data)
    assert bytes(bounded.zstd(encoded, Bound(size, True))) == data
    out = memoryview(bytearray(size))
    assert bounded.zstd(memoryview(encoded), Bound(size, True), out) is out
    assert bytes(out) == data


@pytest.mark.parametrize("size", SIZES)
def test_zstd_refuses_what_is_not_one_chunk(size):
    data = sample(size)
    encoded = bytes(ZstdCodec(1, True).encode(data))
    damaged = bytearray(encoded)
    damaged[-1] ^= 1  # of the checksum
    for bad in (encoded + b"x", encoded + encoded, encoded[:-1], bytes(damaged), b""):
        for out in (None, memoryview(bytearray(size))):
            with pytest.raises(CodecError, match="zstd"):
                bounded.zstd(bad, Bound(size, True), out)
    for other in (size - 1, size + 1):
        with pytest.raises(CodecError, match="zstd"):
            bounded.zstd(encoded, Bound(other, True), memoryview(bytearray(other)))


def test_zstd_contexts_belong_to_threads():
    blocks = [sample(20_000 + number) for number in range(8)]
    failed = []

    def work(data: bytes) -> None:
        for _ in range(50):
            encoded = ZstdCodec(1).encode(data)
            if bytes(bounded.zstd(encoded, Bound(len(data), True))) != data:
                failed.append(len(data))

    threads = [threading.Thread(target=work, args=(block,)) for block in blocks]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failed


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level", range(10))
def test_gzip_is_read_by_everybody_and_has_no_time(size, level):
    data = sample(size)
    encoded = bytes(GzipCodec(level).encode(data))
    assert gzip.decompress(encoded) == data
    assert encoded == bytes(GzipCodec(level).encode(data))
    assert encoded[4:8] == bytes(4)
    assert len(encoded) <= len(zlib.compress(data, level)) * 1.02 + 64
    out = memoryview(bytearray(size))
    assert bounded.gzip(memoryview(encoded), Bound(size, True), out) is out
    assert bytes(out) == data


def members(*parts: bytes) -> bytes:
    return b"".join(gzip.compress(part, 1) for part in parts)


def test_gzip_of_several_members_and_zero_padding_is_read():
    assert bytes(bounded.gzip(members(b"a" * 500, b"b" * 500), Bound(1000, True))) == b"a" * 500 + b"b" * 500
    assert bytes(bounded.gzip(members(b"a" * 500) + bytes(512), Bound(500, True))) == b"a" * 500
    assert bytes(bounded.gzip(members(b"a" * 500), Bound(600, False))) == b"a" * 500


@pytest.mark.parametrize(
    "bad",
    [
        members(b"a" * 500) + b"garbage",
        members(b"a" * 500, b"a" * 500),  # whose last bytes state the right size
        members(b"a" * 500)[:-1],
        members(b"a" * 499),
        members(b"a" * 501),
        members(b"a" * 500)[:-8] + bytes(4) + members(b"a" * 500)[-4:],  # another checksum
        b"",
    ],
    ids=["trailing", "twice", "cut", "short", "long", "checksum", "empty"],
)
def test_gzip_refuses_what_is_not_one_chunk(bad):
    for out in (None, memoryview(bytearray(500))):
        with pytest.raises(CodecError, match="gzip"):
            bounded.gzip(bad, Bound(500, True), out)


@given(st.lists(st.sampled_from([0x1F, 0x8B, 0x08, 0]), min_size=10, max_size=40).map(bytes))
def test_where_a_second_member_may_begin_is_found(data):
    for small in (0, 1 << 20):  # both ways to look
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(deflated, "_SMALL", small)
            assert deflated._begins_again(b"\x1f\x8b\x08" + data) == (b"\x1f\x8b\x08" in data)


@given(st.binary(max_size=2000), st.integers(1, 9))
def test_zlib_streams_are_read(data, level):
    encoded = zlib.compress(data, level)
    assert bytes(bounded.zlib_(encoded, Bound(len(data), True))) == data
    with pytest.raises(CodecError, match="zlib"):
        bounded.zlib_(encoded, Bound(len(data) + 1, True))
    if data:
        with pytest.raises(CodecError, match="zlib"):
            bounded.zlib_(encoded, Bound(len(data) - 1, True))


@pytest.mark.parametrize("cname", ["lz4", "zstd", "blosclz"])
@pytest.mark.parametrize("shuffle", ["noshuffle", "shuffle", "bitshuffle"])
def test_blosc_has_the_bytes_of_numcodecs(cname, shuffle):
    data = np.arange(5000, dtype="f8")
    flat = memoryview(data).cast("B")
    encoded = BloscCodec(8, cname, 5, shuffle).encode(flat)
    number = ("noshuffle", "shuffle", "bitshuffle").index(shuffle)
    assert encoded == numcodecs.Blosc(cname, 5, number).encode(data)
    out = memoryview(bytearray(data.nbytes))
    assert bounded.blosc(encoded, Bound(data.nbytes, True), out) is out
    assert bytes(out) == data.tobytes()
    for stored in (bytearray(encoded), memoryview(encoded), memoryview(bytearray(encoded))[:]):
        assert bytes(bounded.blosc(stored, Bound(data.nbytes, True))) == data.tobytes()


def test_blosc_is_decompressed_without_its_c_interface_too(monkeypatch):
    """As where a build of numcodecs does not export it."""
    data = np.arange(5000, dtype="f8")
    encoded = BloscCodec(8, "lz4", 5, "shuffle").encode(memoryview(data).cast("B"))
    assert blosc_buffers._decompressor() is not blosc_buffers._by_numcodecs
    monkeypatch.setattr(blosc_buffers, "_decompressor", lambda: blosc_buffers._by_numcodecs)
    assert bytes(bounded.blosc(encoded, Bound(data.nbytes, True))) == data.tobytes()
    with pytest.raises(CodecError, match="blosc"):
        bounded.blosc(encoded[:20] + bytes(len(encoded) - 20), Bound(data.nbytes, True))
