"""Codecs that programs and packages bring: registered, or found by their entry points."""

from __future__ import annotations

import importlib
import importlib.metadata
import pickle  # noqa: TID251 - codecs travel with arrays
import subprocess
import sys
import tomllib
from pathlib import Path

import numcodecs
import numcodecs.abc
import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import CodecError, ConfigError, MetadataError
from streamzarr.stores import MemoryStore
from streamzarr.zarr import codecs
from streamzarr.zarr.codecs import registry

PACKAGE = '''
import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes
from zarr.abc.codec import ArrayArrayCodec, ArrayBytesCodec, BytesBytesCodec
from streamzarr.zarr.codecs import Bound, BytesBytes

class Ours(BytesBytes):
    """Every bit turned over."""
    name = "lab.ours"
    @classmethod
    def from_configuration(cls, configuration):
        return cls()
    def configuration(self):
        return {}
    def encoded_bound(self, bound):
        return bound
    def encode(self, data):
        return bytes(255 - byte for byte in bytes(data))
    def decode(self, data, bound, out=None):
        return self.encode(data)

class Numcodec(Codec):
    codec_id = "lab_numcodec"
    def __init__(self, key=1):
        self.key = key
    def encode(self, buf):
        return bytes(byte ^ self.key for byte in ensure_bytes(buf))
    def decode(self, buf, out=None):
        return self.encode(buf)

class Bytes(BytesBytesCodec):
    """A tail of four bytes."""
    is_fixed_size = True
    @classmethod
    def from_dict(cls, data):
        return cls()
    def to_dict(self):
        return {"name": "lab.bytes"}
    async def _encode_single(self, chunk, spec):
        return spec.prototype.buffer.from_bytes(chunk.to_bytes() + b"tail")
    async def _decode_single(self, chunk, spec):
        if not chunk.to_bytes().endswith(b"tail"):
            raise ValueError("no tail")
        return spec.prototype.buffer.from_bytes(chunk.to_bytes()[:-4])
    def compute_encoded_size(self, size, spec):
        return size + 4

class Negate(ArrayArrayCodec):
    """The other sign."""
    is_fixed_size = True
    @classmethod
    def from_dict(cls, data):
        return cls()
    def to_dict(self):
        return {"name": "lab.negate", "configuration": {}}
    def _encode_sync(self, array, spec):
        return spec.prototype.nd_buffer.from_numpy_array(-array.as_numpy_array())
    _decode_sync = _encode_sync
    def compute_encoded_size(self, size, spec):
        return size

class Text(ArrayBytesCodec):
    """Numbers in ASCII."""
    is_fixed_size = False
    @classmethod
    def from_dict(cls, data):
        return cls()
    def to_dict(self):
        return {"name": "lab.text"}
    async def _encode_single(self, array, spec):
        flat = array.as_numpy_array().ravel()
        return spec.prototype.buffer.from_bytes(" ".join(map(str, flat.tolist())).encode())
    async def _decode_single(self, data, spec):
        values = np.array(data.to_bytes().decode().split(), spec.dtype.to_native_dtype())
        return spec.prototype.nd_buffer.from_numpy_array(values.reshape(spec.shape))
    def compute_encoded_size(self, size, spec):
        raise NotImplementedError

class Nothing:
    pass
'''
POINTS = """
[streamzarr.codecs]
lab.ours = lab_codecs:Ours
lab.nothing = lab_codecs:Nothing
lab.missing = lab_codecs.missing:Codec
[numcodecs.codecs]
lab_numcodec = lab_codecs:Numcodec
[zarr.codecs]
lab.bytes = lab_codecs:Bytes
lab.negate = lab_codecs:Negate
lab.wrong = lab_codecs:Nothing
[zarr.codecs.lab.text]
first = lab_codecs:Text
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that brings codecs of all three kinds of entry points."""
    (tmp_path / "lab_codecs.py").write_text(PACKAGE)
    about = tmp_path / "lab_codecs-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-codecs\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    monkeypatch.setattr(registry, "_loaded", {})
    monkeypatch.setattr(numcodecs.registry, "entries", {})
    numcodecs.registry.run_entrypoints()
    yield
    sys.modules.pop("lab_codecs", None)
    numcodecs.registry.codec_registry.pop("lab_numcodec", None)


VALUES = np.arange(24, dtype="i4").reshape(4, 6)


def round_trip(**options):
    z = sz.create_array(MemoryStore(), data=VALUES, chunks=(2, 6), **options)
    assert np.array_equal(sz.open_array(z.store)[...], VALUES)
    return z


def test_an_entry_point_of_ours(package):
    z = round_trip(compressors="lab.ours")
    assert bytes(255 - byte for byte in z.store.get("c/0/0")) == VALUES[:2].tobytes()
    assert codecs.info("lab.ours") == codecs.CodecInfo(
        "lab.ours", "bytes -> bytes", "streamzarr.codecs", True, "Every bit turned over."
    )


def test_an_entry_point_of_numcodecs_in_both_formats(package):
    config = {"id": "lab_numcodec", "key": 7}
    for zarr_format, key in ((2, "0.0"), (3, "c/0/0")):
        z = round_trip(compressors=config, zarr_format=zarr_format)
        assert bytes(byte ^ 7 for byte in z.store.get(key)) == VALUES[:2].tobytes()
    assert z.metadata.to_json()["codecs"][-1] == {
        "name": "numcodecs.lab_numcodec",
        "configuration": {"key": 7},
    }
    assert codecs.info("numcodecs.lab_numcodec").source == "numcodecs.codecs"


@pytest.mark.parametrize(
    ("argument", "name", "stored"),
    [
        ("compressors", "lab.bytes", VALUES[:2].tobytes() + b"tail"),
        ("filters", "lab.negate", (-VALUES[:2]).tobytes()),
        ("serializer", "lab.text", b"0 1 2 3 4 5 6 7 8 9 10 11"),
    ],
)
def test_an_entry_point_of_zarr_python(package, argument, name, stored):
    options = {"compressors": None} | {argument: {"name": name}}
    z = round_trip(**options)
    assert z.store.get("c/0/0") == stored
    assert codecs.info(name).source == "zarr.codecs"
    codec = (
        z.metadata.chain().codecs[{"filters": 0}.get(argument, -1)] if callable(z.metadata.chain) else None
    )
    assert codec is None or pickle.loads(pickle.dumps(codec)) == codec


def test_damage_that_a_foreign_codec_finds_is_an_error_of_ours(package):
    z = round_trip(compressors=["lab.bytes"])
    for damaged in (b"no end", VALUES.tobytes() + b"tail"):
        z.store.put("c/0/0", damaged)
        with pytest.raises(CodecError, match=r"chunk \(0, 0\).*lab\.bytes"):
            z[...]


@pytest.mark.parametrize("name", ["lab.nothing", "lab.missing", "lab.wrong"])
def test_what_is_no_codec_is_refused(package, name):
    with pytest.raises(MetadataError, match=f"codec '{name}': entry point"):
        codecs.info(name)
    with pytest.raises(MetadataError, match="entry point"):
        sz.create_array(MemoryStore(), shape=4, dtype="i4", compressors={"name": name})


def test_names_are_listed_without_importing_their_packages(package):
    brought = {"lab.ours", "numcodecs.lab_numcodec", "lab.bytes", "lab.text"}
    assert brought <= set(codecs.list())
    assert "lab_codecs" not in sys.modules


def test_codecs_given_to_numcodecs_by_a_program():
    class Given(numcodecs.abc.Codec):
        codec_id = "given_by_a_program"

        def encode(self, buf):
            return bytes(buf)[::-1]

        def decode(self, buf, out=None):
            return bytes(buf)[::-1]

    numcodecs.register_codec(Given)
    try:
        for zarr_format in (2, 3):
            z = round_trip(compressors={"id": "given_by_a_program"}, zarr_format=zarr_format)
            [codec] = z.compressors if zarr_format == 3 else [None]
            assert codec is None or pickle.loads(pickle.dumps(codec)) == codec
    finally:
        numcodecs.registry.codec_registry.pop("given_by_a_program")


@pytest.mark.parametrize("name", ["pickle", "msgpack2", "json2", "vlen-utf8", "no_such"])
def test_codecs_of_objects_are_never_reached_from_v3(name):
    assert registry.lookup(f"numcodecs.{name}") is None
    with pytest.raises(MetadataError, match="unknown codec"):
        sz.create_array(MemoryStore(), shape=4, dtype="i4", compressors={"name": f"numcodecs.{name}"})


def test_pickle_is_refused_in_v2_even_if_numcodecs_has_it():
    for argument in ("filters", "compressors"):
        with pytest.raises(MetadataError, match="could run code"):
            sz.create_array(MemoryStore(), shape=4, dtype="i4", zarr_format=2, **{argument: {"id": "pickle"}})


# Registering ------------------------------------------------------------------------------------------------


class Reverse(codecs.BytesBytes):
    """Bytes from last to first."""

    name = "lab.reverse"

    @classmethod
    def from_configuration(cls, configuration):
        return cls()

    def configuration(self):
        return {}

    def encoded_bound(self, bound):
        return bound

    def encode(self, data):
        return bytes(data)[::-1]

    def decode(self, data, bound, out=None):
        return bytes(data)[::-1]


@pytest.fixture
def reverse(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    codecs.register(Reverse)


def test_a_registered_codec_is_listed_used_and_forgotten(reverse):
    assert "lab.reverse" in codecs.list()
    info = codecs.info("lab.reverse")
    assert (info.kind, info.source, info.summary) == (
        "bytes -> bytes",
        "registered",
        "Bytes from last to first.",
    )
    z = round_trip(compressors="lab.reverse")
    assert z.store.get("c/0/0") == VALUES[:2].tobytes()[::-1]
    with pytest.raises(ConfigError, match="registered already, by Reverse"):
        codecs.register(Reverse)
    codecs.register(Reverse, replace=True)
    codecs.unregister("lab.reverse")
    assert "lab.reverse" not in codecs.list()
    with pytest.raises(MetadataError, match=r"unknown codec 'lab\.reverse'"):
        sz.open_array(z.store)


def test_a_built_in_codec_can_be_replaced_but_not_taken_away(reverse):
    class Gzip(Reverse):
        name = "gzip"

    with pytest.raises(ConfigError, match="registered already, by GzipCodec"):
        codecs.register(Gzip)
    codecs.register(Gzip, replace=True)
    assert codecs.info("gzip").source == "registered"
    codecs.unregister("gzip")
    assert codecs.info("gzip").source == "built in"
    with pytest.raises(ConfigError, match="'gzip' is built in"):
        codecs.unregister("gzip")
    with pytest.raises(ConfigError, match="was not registered"):
        codecs.unregister("lab.none")


@pytest.mark.parametrize("what", [object, Reverse(), codecs.Codec, "gzip"])
def test_only_classes_of_codecs_are_registered(what):
    with pytest.raises(ConfigError, match="expected a class derived from"):
        codecs.register(what)


def test_every_known_codec_has_something_to_say():
    for name in codecs.list():
        found = codecs.info(name)
        assert found.name == name
        assert found.kind in ("array -> array", "array -> bytes", "bytes -> bytes")
        assert len(found.summary) > 5
    assert codecs.info("endian").name == "bytes"
    with pytest.raises(ConfigError, match="unknown codec 'nothing'"):
        codecs.info("nothing")


# Snappy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_snappy_is_raw_snappy_in_both_formats(zarr_format):
    import cramjam

    z = round_trip(compressors="snappy", zarr_format=zarr_format)
    stored = z.store.get("c/0/0" if zarr_format == 3 else "0.0")
    assert bytes(cramjam.snappy.decompress_raw(stored)) == VALUES[:2].tobytes()
    assert pickle.loads(pickle.dumps(z.compressors)) == z.compressors
    converted = MemoryStore()
    sz.convert(z.store, converted, zarr_format=5 - zarr_format)
    assert np.array_equal(sz.open_array(converted)[...], VALUES)
    assert "snappy" in str(sz.open_array(converted).compressors).lower()


def test_damaged_and_lying_snappy_is_an_error():
    z = round_trip(compressors="snappy")
    whole = z.store.get("c/0/0")
    bomb = b"\xff\xff\xff\xff\x0f" + whole[1:]  # states four gigabytes
    for damaged in (b"", b"\xff" * 12, whole[:-1], whole + b"\0", bomb, b"\x01" + whole[1:]):
        z.store.put("c/0/0", damaged)
        with pytest.raises(CodecError, match=r"chunk \(0, 0\).*snappy"):
            z[...]


def test_numcodecs_and_zarr_python_use_our_snappy():
    import zarr

    [point] = importlib.metadata.EntryPoints(
        importlib.metadata.EntryPoint(name, value, "numcodecs.codecs")
        for name, value in PROJECT["project"]["entry-points"]["numcodecs.codecs"].items()
    )
    numcodecs.register_codec(point.load(), codec_id=point.name)
    codec = numcodecs.get_codec({"id": "snappy"})
    assert codec == numcodecs.get_codec(codec.get_config())
    assert repr(codec) == "Snappy()"
    assert bytes(codec.decode(codec.encode(VALUES))) == VALUES.tobytes()
    out = np.empty_like(VALUES)
    codec.decode(codec.encode(VALUES), out)
    assert np.array_equal(out, VALUES)
    store = MemoryStore()
    sz.create_array(store, data=VALUES, compressors="snappy", zarr_format=2)
    from streamzarr.interop import ZarrStore

    assert np.array_equal(zarr.open_array(ZarrStore(store))[...], VALUES)


PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())

WITHOUT_CRAMJAM = """
import sys
sys.modules["cramjam"] = None
import streamzarr as sz
print(sz.zarr.codecs.info("snappy").available)
for zarr_format in (2, 3):
    try:
        sz.create_array("memory://", shape=4, dtype="i4", compressors="snappy", zarr_format=zarr_format)
    except ValueError as error:
        print(error)
"""


def test_a_codec_whose_package_is_missing_says_so():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_CRAMJAM], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert done[0] == "False"
    assert all("pip install 'streamzarr[snappy]'" in line for line in done[1:])
    assert len(done) == 3


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_compressor_that_blosc_was_built_without_is_an_error_of_the_codec(zarr_format):
    config = {"id": "blosc", "cname": "snappy", "clevel": 5, "shuffle": 1, "blocksize": 0}
    with pytest.raises(CodecError, match="snappy"):
        sz.create_array(MemoryStore(), data=VALUES, compressors=config, zarr_format=zarr_format)


# Categorize in v3 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [str, "U6"])
def test_categorize_keeps_labels_as_small_integers_in_v3(dtype):
    values = np.array(["male", "female", "male", "", "other"], dtype="T" if dtype is str else dtype)
    config = {"name": "numcodecs.categorize", "configuration": {"labels": ["female", "male"], "astype": "u1"}}
    z = sz.create_array(
        MemoryStore(), shape=5, chunks=5, dtype=dtype, filters=config, serializer="bytes", compressors=None
    )
    z[...] = values
    assert z.store.get("c/0") == bytes([2, 1, 2, 0, 0])
    assert sz.open_array(z.store)[...].tolist() == ["male", "female", "male", "", ""]
