"""The matrix: each peer reads what we write, and we read what each peer writes, bit for bit.

Every row of the tables below is one array. Peers are zarr-python, zarr-python with the zarrs pipeline (Rust),
and tensorstore (C++). What a peer lacks stands in `LACKS`. What it does wrong stands in `DIFFERENCES` with
its reason, and must still go wrong in the version that was looked at: no entry outlives its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numcodecs
import numpy as np
import pytest
import tensorstore as ts
import zarr
from zarr.registry import get_codec_class

import streamzarr.zarr as sz
from streamzarr.stores import LocalStore, MemoryStore

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning", "ignore::RuntimeWarning"
)


@dataclass(frozen=True)
class Case:
    """One array. Codecs are v3 names and configurations, or numcodecs' in v2."""

    what: str
    zarr_format: int = 3
    dtype: Any = "<i4"
    shape: tuple[int, ...] = (7, 5)
    chunks: tuple[int, ...] = (3, 2)
    shards: tuple[int, ...] | None = None
    filters: tuple[dict[str, Any], ...] = ()
    serializer: dict[str, Any] | None = None
    compressors: tuple[dict[str, Any], ...] = ()
    order: str = "C"
    separator: str | None = None
    fill: Any = None
    lossy: bool = False

    def __str__(self) -> str:
        return f"v{self.zarr_format} {self.what}"

    @property
    def kind(self) -> str:
        return "T" if self.dtype is str else np.dtype(self.dtype).kind

    @property
    def names(self) -> set[str]:
        """Every codec of the array."""
        listed = [*self.filters, *self.compressors, *([self.serializer] if self.serializer else [])]
        for each in listed:
            listed += each.get("configuration", {}).get("codecs", [])  # of a shard
        return {each.get("name", each.get("id")) for each in listed}

    def options(self, codec: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The arguments of ``create_array``, ours and zarr-python's, with codecs as `codec` makes them."""
        options: dict[str, Any] = {
            "shape": self.shape,
            "chunks": self.chunks,
            "dtype": self.dtype,
            "zarr_format": self.zarr_format,
            "fill_value": self.fill if self.kind != "V" or self.fill is not None else zero(self.dtype),
            "filters": [codec(each) for each in self.filters] or ("auto" if self.kind == "T" else None),
            "compressors": [codec(each) for each in self.compressors] or None,
            "order": self.order,
        }
        if self.shards is not None:
            options["shards"] = self.shards
        if self.serializer is not None:
            options["serializer"] = codec(self.serializer)
        if self.separator is not None:
            name = "v2" if self.zarr_format == 2 else "default"
            options["chunk_key_encoding"] = {"name": name, "separator": self.separator}
        return options

    def values(self) -> np.ndarray:
        """What is written: numbers, the special ones of the type, and zeros, which often are fill."""
        rng = np.random.default_rng(0)
        numbers = rng.integers(0, 100, self.shape)
        dtype = np.dtype(np.dtypes.StringDType()) if self.dtype is str else np.dtype(self.dtype)
        if dtype.names is not None:
            values = np.zeros(self.shape, dtype)
            fill_fields(values, numbers)
            return values
        if dtype.kind in "SUT":
            words = np.array(["", "a", "zarr", "ü€😀" if dtype.kind in "UT" else "end"])
            return words[numbers % 4].astype(dtype)
        if dtype.kind == "V":
            return np.frombuffer(numbers.astype("<u8").tobytes() * 2, dtype, numbers.size).reshape(self.shape)
        if dtype.kind in "mM":
            values = numbers.astype("i8").view(dtype.newbyteorder("=")).astype(dtype)
            special: list[Any] = ["NaT"]
        else:
            values = (numbers % 2 if dtype.kind == "b" else numbers).astype(dtype)
            special = [np.nan, np.inf, -np.inf, -0.0] if dtype.kind in "fc" and not self.lossy else []
        values.reshape(-1)[: min(len(special), values.size)] = special[: values.size]
        return values


def zero(dtype: Any) -> Any:
    """The fill value of records and raw bytes; what is taken when none is given differs between libraries."""
    return np.zeros((), dtype)[()]


def fill_fields(values: np.ndarray, numbers: np.ndarray) -> None:
    for name in values.dtype.names:
        if values.dtype[name].names is not None:
            fill_fields(values[name], numbers)
        elif values.dtype[name].shape:
            values[name] = numbers[..., None]
        else:
            values[name] = numbers.astype("S2") if values.dtype[name].kind == "S" else numbers


def bits(values: np.ndarray, dtype: np.dtype[Any]) -> Any:
    """What has to be equal: bytes in one byte order, or strings."""
    values = np.asarray(values)
    if values.dtype.kind in "OT":
        return values.tolist()
    return np.ascontiguousarray(values.astype(np.dtype(dtype).newbyteorder("<"))).tobytes()


# The tables -------------------------------------------------------------------------------------------------

NUMBERS = ["|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8", "<c8", "<c16"]
TIMES = ["<M8[ns]", "<M8[10ms]", "<M8[D]", "<m8[s]", "<m8[25us]"]
TEXTS = ["<U4", "|S4", "|V3", str]
BIG = [">i2", ">i4", ">u8", ">f2", ">f8", ">c16", ">M8[s]", ">m8[ms]", ">U4"]
RECORDS = {
    "record": [("a", "<i4"), ("b", "<f8"), ("s", "S3")],
    "record of big-endian fields": [("a", ">i2"), ("b", ">f8")],
    "record of both orders": [("a", ">i4"), ("b", "<i4")],
    "nested record": [("a", "<i4"), ("b", [("x", "<f4"), ("y", "<i2")])],
    "record with an array": [("a", "<i4"), ("b", "<f4", (2,))],
}


def v3(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration} if configuration else {"name": name}


LITTLE, BIG_ENDIAN, CRC = v3("bytes", endian="little"), v3("bytes", endian="big"), v3("crc32c")
GZIP, ZSTD = v3("gzip", level=3), v3("zstd", level=3, checksum=False)
TRANSPOSE = v3("transpose", order=[1, 0])


def blosc(cname: str, shuffle: str, typesize: int = 4) -> dict[str, Any]:
    return v3("blosc", cname=cname, clevel=5, shuffle=shuffle, typesize=typesize, blocksize=0)


def sharding(chunk_shape: list[int], *codecs: dict[str, Any], location: str = "end") -> dict[str, Any]:
    return v3(
        "sharding_indexed",
        chunk_shape=chunk_shape,
        codecs=list(codecs),
        index_codecs=[LITTLE, CRC],
        index_location=location,
    )


COMPRESSORS: dict[str, tuple[dict[str, Any], ...]] = {
    "none": (),
    "gzip": (GZIP,),
    "zstd": (ZSTD,),
    "zstd with checksum": (v3("zstd", level=-3, checksum=True),),
    "crc32c": (CRC,),
    "gzip crc32c": (GZIP, CRC),
    "zstd zstd": (ZSTD, ZSTD),
    **{f"blosc {c}": (blosc(c, "shuffle"),) for c in ("lz4", "lz4hc", "blosclz", "zstd", "zlib")},
    **{f"blosc {s}": (blosc("lz4", s),) for s in ("noshuffle", "bitshuffle")},
    **{
        f"numcodecs.{name}": (v3(f"numcodecs.{name}", **configuration),)
        for name, configuration in {
            "zlib": {"level": 3},
            "gzip": {"level": 3},
            "bz2": {"level": 3},
            "lzma": {"preset": 1},
            "lz4": {"acceleration": 1},
            "zstd": {"level": 3},
            "blosc": {"cname": "lz4", "clevel": 5, "shuffle": 1},
            "shuffle": {"elementsize": 4},
            "crc32": {"location": "start"},
            "adler32": {"location": "start"},
            "fletcher32": {},
            "jenkins_lookup3": {"initval": 0},
        }.items()
    },
}
FILTERS: dict[str, tuple[Any, tuple[dict[str, Any], ...]]] = {
    "delta": ("<i4", ({"id": "delta", "dtype": "<i4"},)),
    "delta to narrower": ("<i4", ({"id": "delta", "dtype": "<i4", "astype": "<i2"},)),
    "quantize": ("<f8", ({"id": "quantize", "digits": 2, "dtype": "<f8"},)),
    "fixedscaleoffset": (
        "<f8",
        ({"id": "fixedscaleoffset", "offset": 3, "scale": 10, "dtype": "<f8", "astype": "<i4"},),
    ),
    "astype": ("<f8", ({"id": "astype", "encode_dtype": "<f4", "decode_dtype": "<f8"},)),
    "packbits": ("|b1", ({"id": "packbits"},)),
    "bitround": ("<f4", ({"id": "bitround", "keepbits": 8},)),
    "two": (
        "<i8",
        ({"id": "delta", "dtype": "<i8"}, {"id": "astype", "encode_dtype": "<i4", "decode_dtype": "<i8"}),
    ),
}
V2_FILTERS = FILTERS | {
    "shuffle": ("<f8", ({"id": "shuffle", "elementsize": 8},)),
    "delta shuffle": ("<i8", ({"id": "delta", "dtype": "<i8"}, {"id": "shuffle", "elementsize": 8})),
}
V2_COMPRESSORS = {
    "none": None,
    "zstd": {"id": "zstd", "level": 3},
    "gzip": {"id": "gzip", "level": 4},
    "zlib": {"id": "zlib", "level": 4},
    "bz2": {"id": "bz2", "level": 4},
    "lzma": {"id": "lzma", "preset": 1, "format": 1, "check": -1, "filters": None},
    "lz4": {"id": "lz4", "acceleration": 1},
    **{
        f"blosc {cname} {shuffle}": {
            "id": "blosc",
            "cname": cname,
            "clevel": 5,
            "shuffle": shuffle,
            "blocksize": 0,
        }
        for cname, shuffle in [("lz4", 1), ("lz4hc", 2), ("zstd", 0), ("zlib", -1), ("blosclz", 1)]
    },
    **{name: {"id": name} for name in ("crc32", "crc32c", "adler32", "fletcher32", "jenkins_lookup3")},
}
FORMS: dict[str, dict[str, Any]] = {
    "whole chunks": {"shape": (6, 4)},
    "one chunk larger than the array": {"chunks": (10, 9)},
    "one dimension": {"shape": (11,), "chunks": (4,)},
    "four dimensions": {"shape": (3, 4, 2, 3), "chunks": (2, 2, 2, 2)},
    "no dimensions": {"shape": (), "chunks": ()},
    "no elements": {"shape": (0, 4), "chunks": (2, 2)},
}
SHARDS: dict[str, dict[str, Any]] = {
    "index at the end": {"chunks": (6, 4), "serializer": sharding([3, 2], LITTLE, ZSTD)},
    "index at the start": {"chunks": (6, 4), "serializer": sharding([3, 2], LITTLE, ZSTD, location="start")},
    "big-endian, crc32c": {"chunks": (6, 4), "serializer": sharding([3, 2], BIG_ENDIAN, CRC)},
    "transposed": {"chunks": (6, 4), "serializer": sharding([3, 2], TRANSPOSE, LITTLE, GZIP)},
    "nested": {"chunks": (8, 8), "serializer": sharding([4, 4], sharding([2, 2], LITTLE, ZSTD))},
    "compressed as a whole": {
        "chunks": (6, 4),
        "serializer": sharding([3, 2], LITTLE),
        "compressors": (GZIP,),
    },
    "one chunk": {"chunks": (3, 2), "serializer": sharding([3, 2], LITTLE)},
    "one dimension": {
        "shape": (11,),
        "chunks": (8,),
        "serializer": sharding([2], LITTLE, blosc("lz4", "shuffle")),
    },
    "no dimensions": {"shape": (), "chunks": (), "serializer": sharding([], LITTLE)},
    "no elements": {"shape": (0, 4), "chunks": (2, 4), "serializer": sharding([2, 2], LITTLE)},
}
FILLS: list[tuple[str, Any]] = [
    ("<f2", np.inf),
    ("<f4", np.nan),
    ("<f8", -np.inf),
    ("<f8", -0.0),
    ("<f8", 1.5),
    ("<c8", complex(np.nan, -np.inf)),
    ("<c16", complex(-0.0, 2)),
    ("<i8", -(2**63)),
    ("<u8", 2**64 - 1),
    ("|b1", True),
    ("<M8[s]", np.datetime64("2020-01-01")),
    ("<m8[ms]", np.timedelta64("NaT")),
    ("<U4", "ü"),
    ("|S4", b"ab"),
    (str, "none"),
]
PAYLOAD = np.array(0x7FC00001, "<u4").view("<f4")[()]


def label(dtype: Any) -> str:
    return "string" if dtype is str else str(dtype)


def v3_filter(config: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in config.items() if key != "id"}
    return {"name": f"numcodecs.{config['id']}", "configuration": rest}


LOSSY = {"quantize", "fixedscaleoffset", "astype", "bitround", "two"}
CASES = [
    # data types
    *(Case(label(d), dtype=d, compressors=(ZSTD,)) for d in [*NUMBERS, *TIMES, *TEXTS]),
    *(Case(f"{label(d)} in shards", dtype=d, shards=(6, 4)) for d in [*NUMBERS, *TIMES, *TEXTS]),
    *(Case(f"{d} big-endian", dtype=d, serializer=BIG_ENDIAN) for d in NUMBERS if d[0] == "<"),
    *(Case(name, dtype=d, compressors=(ZSTD,)) for name, d in RECORDS.items() if "array" not in name),
    *(
        Case(f"{label(d)} order {order}", 2, d, order=order, compressors=({"id": "zlib", "level": 1},))
        for d in [*NUMBERS, *TIMES, *TEXTS, *BIG]
        for order in "CF"
    ),
    *(Case(name, 2, d, compressors=({"id": "zlib", "level": 1},)) for name, d in RECORDS.items()),
    # codecs and filters
    *(Case(f"{d} {name}", dtype=d, compressors=c) for name, c in COMPRESSORS.items() for d in ("<i4", "<f8")),
    *(
        Case(f"{name} in shards", chunks=(6, 4), serializer=sharding([3, 2], LITTLE, *c))
        for name, c in COMPRESSORS.items()
    ),
    *(
        Case(f"filter {name}", dtype=d, filters=tuple(map(v3_filter, f)), lossy=name in LOSSY)
        for name, (d, f) in FILTERS.items()
    ),
    *(
        Case(f"{d} {name}", 2, d, compressors=(c,) if c else ())
        for name, c in V2_COMPRESSORS.items()
        for d in ("<i4", "<M8[s]")
    ),
    *(
        Case(
            f"filter {name} order {order}", 2, d, (6, 8), (3, 8), filters=f, order=order, lossy=name in LOSSY
        )
        for name, (d, f) in V2_FILTERS.items()
        for order in "CF"
    ),
    Case("transpose", filters=(TRANSPOSE,), compressors=(ZSTD,)),
    Case(
        "transpose of three", shape=(3, 4, 5), chunks=(2, 3, 4), filters=(v3("transpose", order=[2, 0, 1]),)
    ),
    # forms
    *(Case(name, **form) for name, form in FORMS.items()),
    *(Case(f"shards: {name}", **form) for name, form in SHARDS.items()),
    *(
        Case(f"{name}, order {order}, separator {separator}", 2, order=order, separator=separator, **form)
        for name, form in FORMS.items()
        for order in "CF"
        for separator in "./"
    ),
    *(Case(f"separator {separator}", separator=separator) for separator in "./"),
    # fill values
    *(Case(f"fill {label(d)} {f!r}", dtype=d, fill=f) for d, f in FILLS),
    *(Case(f"fill {label(d)} {f!r}", 2, d, fill=f) for d, f in FILLS),
    *(Case(f"fill {d} {f!r} in shards", dtype=d, fill=f, shards=(6, 4)) for d, f in FILLS[:6]),
    Case("fill NaN with payload", dtype="<f4", fill=PAYLOAD),
]
assert len({str(case) for case in CASES}) == len(CASES)

# Peers ------------------------------------------------------------------------------------------------------


def theirs(config: dict[str, Any]) -> Any:
    """A codec of zarr-python's, or numcodecs' for v2."""
    if "id" in config:
        return numcodecs.get_codec(dict(config))
    configuration = dict(config.get("configuration", {}))
    if config["name"] == "sharding_indexed":
        for key in ("codecs", "index_codecs"):
            configuration[key] = [theirs(each) for each in configuration[key]]
        return zarr.codecs.ShardingCodec(**configuration)
    if config["name"] == "crc32c":
        return zarr.codecs.Crc32cCodec()
    return get_codec_class(config["name"]).from_dict({"name": config["name"], "configuration": configuration})


class ZarrPython:
    pipeline = "zarr.core.codec_pipeline.BatchedCodecPipeline"

    def write(self, case: Case, path: str, values: np.ndarray) -> None:
        with zarr.config.set({"codec_pipeline.path": self.pipeline}):
            zarr.create_array(path, **case.options(theirs))[written(case)] = values[written(case)]

    def read(self, case: Case, path: str) -> np.ndarray:
        with zarr.config.set({"codec_pipeline.path": self.pipeline}):
            return np.asarray(zarr.open_array(path, mode="r")[...])


class Zarrs(ZarrPython):
    pipeline = "zarrs.ZarrsCodecPipeline"


class TensorStore:
    def spec(self, case: Case, path: str) -> dict[str, Any]:
        driver = "zarr" if case.zarr_format == 2 else "zarr3"
        return {"driver": driver, "kvstore": {"driver": "file", "path": path}}

    def write(self, case: Case, path: str, values: np.ndarray) -> None:
        metadata = sz.create_array(MemoryStore(), **case.options(dict)).metadata.to_json()
        for key in ("attributes", "storage_transformers"):
            metadata.pop(key, None)
        store = ts.open(self.spec(case, path) | {"metadata": metadata}, create=True).result()
        store[written(case)].write(values.astype(values.dtype.newbyteorder("="))[written(case)]).result()

    def read(self, case: Case, path: str) -> np.ndarray:
        return np.asarray(ts.open(self.spec(case, path)).result().read().result())


PEERS = {"zarr-python": ZarrPython(), "zarrs": Zarrs(), "tensorstore": TensorStore()}
TENSORSTORE_CODECS = {
    2: {"blosc", "bz2", "gzip", "zlib", "zstd"},
    3: {"blosc", "bytes", "crc32c", "gzip", "sharding_indexed", "transpose", "zstd"},
}


@dataclass(frozen=True)
class Lack:
    """What a peer does not have at all; such cases are not tried (of some it aborts the process)."""

    peer: str
    what: str
    applies: Callable[[Case], bool]


LACKS = [
    Lack("tensorstore", "times, strings and records", lambda case: case.kind not in "biufc"),
    Lack(
        "tensorstore",
        "filters, and codecs of numcodecs other than zlib, gzip, bz2, blosc and zstd",
        lambda case: not case.names <= TENSORSTORE_CODECS[case.zarr_format],
    ),
]


def written(case: Case) -> Any:
    """All but the last row, so that some chunks are absent, and one is written in part."""
    return slice(0, max(case.shape[0] - 1, 0)) if case.shape else ...


@dataclass(frozen=True)
class Difference:
    """Cases that peers cannot do as we do, and why."""

    peers: str
    reason: str
    applies: Callable[[Case], bool]
    direction: str = "both"


def big_endian(case: Case) -> bool:
    return ">" in str(np.dtype(case.dtype).descr) if case.dtype is not str else False


def fortran_for_zarrs(case: Case) -> bool:
    """Whether numbers come to it in another order than C: most filters put them in order C."""
    first = case.filters[0]["id"] if case.filters else "none"
    numbers = case.kind in "biufc" and min(case.shape, default=0) > 0 and len(case.shape) > 1
    return numbers and first in ("none", "fixedscaleoffset", "shuffle")


def record(case: Case) -> bool:
    return case.dtype is not str and np.dtype(case.dtype).names is not None


DIFFERENCES = [
    Difference(
        "zarr-python zarrs",
        "v3 records with big-endian fields are written as if they were little-endian (trap T11)",
        lambda case: case.zarr_format == 3 and record(case) and big_endian(case),
        "writes",
    ),
    Difference(
        "zarr-python zarrs",
        "v2 records with arrays in them are no data type (T11)",
        lambda case: case.what == "record with an array",
    ),
    Difference(
        "zarr-python zarrs",
        "nested v2 records are written, but cannot be opened again (T11)",
        lambda case: (case.zarr_format, case.what) == (2, "nested record"),
        "reads",
    ),
    Difference(
        "zarr-python zarrs",
        "shards of raw bytes fail: their fill value is not hashable",
        lambda case: case.kind == "V" and not record(case) and case.shards is not None,
    ),
    Difference(
        "zarr-python",
        "shards of arrays without dimensions cannot be written (T15)",
        lambda case: case.what == "shards: no dimensions",
        "writes",
    ),
    Difference(
        "zarr-python zarrs",
        "a NaN fill loses its payload when it is written to metadata (T3)",
        lambda case: "payload" in case.what,
        "writes",
    ),
    Difference(
        "zarr-python zarrs",
        "bitround with order F stores the elements in order C, and says F",
        lambda case: case.what == "filter bitround order F",
        "writes",
    ),
    Difference(
        "zarrs",
        "v2 chunks in order F: its way through zarr-python's codecs wants them C-contiguous",
        lambda case: case.zarr_format == 2 and case.order == "F" and fortran_for_zarrs(case),
        "reads",
    ),
    Difference(
        "zarrs",
        "no byte order other than the machine's in v2",
        lambda case: case.zarr_format == 2 and big_endian(case),
        "reads",
    ),
    Difference(
        "zarrs",
        "big-endian complex numbers are swapped whole: real and imaginary part change places",
        lambda case: case.kind == "c" and case.what.endswith("big-endian"),
        "reads",
    ),
    Difference(
        "zarrs",
        "the payload of a NaN fill is lost",
        lambda case: "payload" in case.what,
        "reads",
    ),
    Difference(
        "tensorstore",
        "order F is written as C where it makes no difference, and then not found again",
        lambda case: case.order == "F" and len(case.shape) < 2,
        "writes",
    ),
    Difference(
        "tensorstore",
        "no codecs around shards",
        lambda case: case.what == "shards: compressed as a whole",
    ),
]


LOOKED_AT = {
    "zarr-python": ("zarr", "3.1.6"),
    "zarrs": ("zarrs", "0.2.3"),
    "tensorstore": ("tensorstore", "0.1.86"),
}


def known(peer: str, case: Case, direction: str) -> str | None:
    for each in DIFFERENCES:
        if peer in each.peers.split() and each.direction in ("both", direction) and each.applies(case):
            return each.reason
    return None


def settle(peer: str, case: Case, direction: str, compare: Callable[[], None]) -> None:
    """Compare; where a difference is known there must be one."""
    reason = known(peer, case, direction)
    if reason is None:
        compare()
        return
    try:
        compare()
    except Exception:
        return
    package, looked_at = LOOKED_AT[peer]
    if version(package) == looked_at:
        pytest.fail(f"{peer} has no difference any more: {reason}")


def ours_of(case: Case, store: Any, values: np.ndarray) -> sz.Array:
    z = sz.create_array(store, **case.options(dict))
    z[written(case)] = values[written(case)]
    return z


def expected(case: Case, z: sz.Array, values: np.ndarray) -> np.ndarray:
    """What was written, then fill; through lossy filters, what we ourselves decode."""
    if case.lossy:
        return z[...]
    whole = np.full(case.shape, z.fill_value, z.dtype)
    whole[written(case)] = values[written(case)]
    return whole


PAIRS = [
    (peer, case)
    for peer in PEERS
    for case in CASES
    if not any(lack.peer == peer and lack.applies(case) for lack in LACKS)
]


@pytest.mark.parametrize(("peer", "case"), PAIRS, ids=str)
def test_a_peer_reads_ours(tmp_path, peer, case):
    values = case.values()
    z = ours_of(case, LocalStore(tmp_path / "a", fsync=False), values)
    whole = expected(case, z, values)
    assert bits(sz.open_array(str(tmp_path / "a"))[...], whole.dtype) == bits(whole, whole.dtype)

    def compare() -> None:
        assert bits(PEERS[peer].read(case, str(tmp_path / "a")), whole.dtype) == bits(whole, whole.dtype)

    settle(peer, case, "reads", compare)


@pytest.mark.parametrize(("peer", "case"), PAIRS, ids=str)
def test_we_read_a_peers(tmp_path, peer, case):
    values = case.values()
    whole = expected(case, ours_of(case, "memory://", values), values)

    def compare() -> None:
        PEERS[peer].write(case, str(tmp_path / "a"), values)
        z = sz.open_array(str(tmp_path / "a"))
        assert bits(z[...], whole.dtype) == bits(whole, whole.dtype)
        rows = slice(1, 4) if case.shape else ...
        assert bits(z[rows], whole.dtype) == bits(whole[rows], whole.dtype)

    settle(peer, case, "writes", compare)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda each: each.reason)
def test_every_difference_is_of_some_case(difference):
    assert any(peer in difference.peers.split() and difference.applies(case) for peer, case in PAIRS), (
        difference.reason
    )
