"""Messages that are compressed one by one: a batch of them is never in memory as a whole."""

import gzip

import cramjam
import pytest
import zstandard

from streamzarr.feeds import ColumnSpec
from streamzarr.feeds.decode import compression, open_decoder
from streamzarr.limits import Limits


@pytest.mark.parametrize("at_once", [1, 200, 1 << 20])
def test_some_messages_at_a_time_give_what_all_at_once_do(monkeypatch, at_once):
    monkeypatch.setattr(compression, "AT_ONCE", at_once)
    values = [gzip.compress(b'[{"x": %d}, {"x": 7}]' % at) for at in range(40)]
    values[5], values[6], values[39] = b"no gzip", None, gzip.compress(b"no json")
    found = open_decoder("json", {"x": ColumnSpec("x", "i8")}, compression="gzip")(values)
    good = [at for at in range(40) if at not in (5, 6, 39)]
    assert found.columns["x"].tolist() == [each for at in good for each in (at, 7)]
    assert found.origin.tolist() == [at for at in good for _ in range(2)]
    assert sorted(found.bad) == [5, 6, 39]
    assert found.bad[5].startswith("gzip")


def test_nothing():
    decode = open_decoder("json", {"x": ColumnSpec("x", "i8")}, compression="gzip")
    assert decode([]).rows == 0


def test_what_is_decompressed_is_decoded_before_there_is_more(monkeypatch):
    monkeypatch.setattr(compression, "AT_ONCE", 10_000)
    held = []

    def decoder(values):
        held.append(sum(map(len, values)))
        return open_decoder("json", {"x": ColumnSpec("x", "i8")})(values)

    bomb = gzip.compress(b'{"x": 1}' + b" " * 5000)
    decode = compression.Decompressing("gzip", decoder, Limits(max_message_bytes=6000))
    assert decode([bomb] * 100).rows == 100
    assert max(held) < 10_000 + 6000


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("compression", ["gzip", "zstd", "lz4"])
def test_a_value_may_be_of_several_frames(compression, stated):
    pack = {
        "gzip": gzip.compress,
        "zstd": zstandard.ZstdCompressor(write_content_size=stated).compress,
        "lz4": lambda data: bytes(cramjam.lz4.compress(data)),
    }[compression]
    decode = open_decoder("json", {"x": ColumnSpec("x", "i8")}, compression=compression)
    parts = (b'{"x": ', b"12", b"34", b"}")
    found = decode([b"".join(map(pack, parts)), pack(parts[0]) + pack(b"7}")])
    assert (found.columns["x"].tolist(), found.bad) == ([1234, 7], {})


def empty(stated=True, checksum=False):
    return zstandard.ZstdCompressor(write_content_size=stated, write_checksum=checksum).compress(b"")


SKIPPABLE = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
NOTHING = [
    ("gzip", gzip.compress(b"", mtime=0)),
    ("lz4", bytes(cramjam.lz4.compress(b""))),
    ("snappy", bytes(cramjam.snappy.compress_raw(b""))),
    ("zstd", empty()),
    ("zstd", empty(stated=False)),
    ("zstd", empty(checksum=True)),
    ("zstd", empty() + empty(stated=False) + SKIPPABLE + empty()),
    ("zstd", SKIPPABLE + empty() + SKIPPABLE),
]


@pytest.mark.parametrize(("compression", "value"), NOTHING)
def test_what_is_of_no_bytes_is_for_the_decoder_to_judge(compression, value):
    decode = open_decoder("json", {"x": ColumnSpec("x", "i8")}, compression=compression)
    assert decode([value]).bad == {0: "json: Input data was truncated"}


@pytest.mark.parametrize(
    "value",
    [
        b"",
        empty()[:-1],
        empty()[:-3],
        empty() + b"junk",
        empty(checksum=True)[:-1],
        empty(checksum=True)[:-1] + b"x",
        empty() + zstandard.compress(b"abc")[:-3],
        b"\x28\xb5\x2f\xfd\x20\x00" + zstandard.compress(b"abc")[6:],  # states nothing, and has three bytes
    ],
)
def test_a_frame_of_nothing_that_is_damaged(value):
    decode = open_decoder("json", {"x": ColumnSpec("x", "i8")}, compression="zstd")
    assert decode([value]).bad[0].startswith("zstd: ")
