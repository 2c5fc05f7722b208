"""The arrays of the matrix, in tables: every row is one that each library writes and every other reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


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


PCODEC = {"level": 8, "mode_spec": "auto", "delta_spec": "auto", "paging_spec": "equal_pages_up_to"}
PCODEC |= {"delta_encoding_order": None, "equal_pages_up_to": 262144}
ZFPY = {
    "precision": {"mode": 3, "precision": 40},
    "accuracy": {"mode": 4, "tolerance": 0.01},
    "rate": {"mode": 2, "rate": 9.5},
}
NUMERIC: dict[str, tuple[Any, dict[str, Any], bool]] = {
    **{f"{d} pcodec": (d, {"id": "pcodec"} | PCODEC, False) for d in ("<i2", "<i4", "<u8", "<f4", "<f8")},
    **{f"{d} zfpy {mode}": (d, {"id": "zfpy"} | ZFPY[mode], True) for d in ("<f4", "<f8") for mode in ZFPY},
    "<i4 zfpy": ("<i4", {"id": "zfpy"} | ZFPY["precision"], True),
}
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
    *(
        Case(f"{name}{axes}", dtype=d, serializer=v3_filter(c), lossy=lossy, **form)
        for name, (d, c, lossy) in NUMERIC.items()
        for axes, form in (("", {}), (" of one dimension", {"shape": (11,), "chunks": (4,)}))
    ),
    *(
        Case(f"{name} as {place}, order {order}", 2, d, order=order, lossy=lossy, **{place: (c,)})
        for name, (d, c, lossy) in NUMERIC.items()
        for place in ("filters", "compressors")
        for order in ("C" if c["id"] == "zfpy" else "CF")  # of which numcodecs' zfpy has C only
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
