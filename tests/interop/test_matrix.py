"""The matrix: each peer reads what we write, and we read what each peer writes, bit for bit.

Every row of the tables in `tests/interop/cases.py` is one array. Peers are zarr-python, zarr-python with
the zarrs pipeline (Rust), and tensorstore (C++). What a peer lacks stands in `LACKS`. What it does wrong
stands in `DIFFERENCES` with its reason, and must still go wrong in the version that was looked at: no entry
outlives its reason.
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
from tests.interop.cases import CASES, Case, bits

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning", "ignore::RuntimeWarning"
)

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
