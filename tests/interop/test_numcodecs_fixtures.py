"""numcodecs' published fixture files, as chunks of v2 arrays: encoded by its versions of years, read here.

They come with numcodecs' source distribution, which pip gets once into a cache folder; nothing of them is in
this repository. Offline the tests are skipped, in CI they fail. ``STREAMZARR_TEST_NUMCODECS`` may name an
unpacked one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import CodecError, MetadataError
from streamzarr.stores import MemoryStore
from tests.conftest import IN_CI

COMPRESSORS = [
    "adler32",
    "base64",
    "blosc",
    "bz2",
    "crc32",
    "crc32c",
    "gzip",
    "lz4",
    "lzma",
    "shuffle",
    "zlib",
    "zstd",
]
FILTERS = [
    "astype",
    "categorize",
    "delta",
    "fixedscaleoffset",
    "json2",
    "packbits",
    "pcodec",
    "quantize",
    "vlen-array",
    "vlen-bytes",
    "vlen-utf8",
    "zfpy",
]
REFUSED = {
    # Blosc around snappy, which numcodecs' builds of Blosc no longer have; the test checks that they refuse.
    "blosc": [f"blosc/codec.09/encoded.{number:02}.dat" for number in (4, 7, 8, 9, 10, 11, 12)],
}
NOT_READ = {
    "pickle": "runs what the data says; refused",
    "msgpack2": "takes the memory that the data asks for; refused",
}
PIP_SECONDS = 180


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder ``fixture`` of numcodecs' source distribution."""
    if given := os.environ.get("STREAMZARR_TEST_NUMCODECS"):
        return Path(given) / "fixture"
    name = f"numcodecs-{version('numcodecs')}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamzarr-tests"
    if not (cache / name / "fixture").is_dir():
        download(name, cache)
    return cache / name / "fixture"


def download(name: str, cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    wanted = name.replace("-", "==")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        "numcodecs",
        wanted,
    ]
    done = subprocess.run(
        command, cwd=cache, capture_output=True, text=True, timeout=PIP_SECONDS, check=False
    )
    if done.returncode:
        message = f"pip cannot get the source distribution of {name}: {done.stderr.strip().splitlines()[-1]}"
        pytest.fail(message) if IN_CI else pytest.skip(message)
    with tarfile.open(cache / f"{name}.tar.gz") as archive:
        members = [each for each in archive.getmembers() if each.name.startswith(f"{name}/fixture/")]
        archive.extractall(cache, members, filter="data")
    (cache / f"{name}.tar.gz").unlink()


@dataclass(frozen=True)
class Case:
    """One encoded file, the codec that made it, and what it holds."""

    file: Path
    config: dict[str, Any]
    values: np.ndarray

    def array(self) -> sz.Array:
        """The file as the one chunk of a v2 array. Compressors saw the bytes in the order of memory."""
        filters = [self.config] if self.config["id"] in (*FILTERS, *NOT_READ) else None
        document = {
            "zarr_format": 2,
            "shape": [self.values.size],
            "chunks": [self.values.size],
            "dtype": self.values.dtype.str,
            "fill_value": None,
            "order": "C",
            "filters": filters,
            "compressor": None if filters else self.config,
        }
        store = MemoryStore()
        store.put(".zarray", json.dumps(document).encode())
        store.put("0", self.file.read_bytes())
        return sz.open_array(store)

    @property
    def expected(self) -> np.ndarray:
        return self.values.reshape(-1, order="A")

    @property
    def tolerance(self) -> float:
        """How far a decoded value may be off: half a step, and what a narrower type loses."""
        match self.config:
            case {"id": "fixedscaleoffset", "scale": scale, "dtype": narrow}:
                step = 1 / scale
            case {"id": "quantize", "digits": digits, "astype": narrow}:
                step = 10.0**-digits
            case {"id": "astype", "encode_dtype": narrow} if np.dtype(narrow).kind == "f":
                step = 0.0
            case _:
                return 0.0
        return step / 2 + float(np.abs(self.values).max()) * np.finfo(narrow).eps


def cases(fixtures: Path, codec: str) -> Iterator[Case]:
    configs = sorted((fixtures / codec).rglob("config.json"))
    assert configs, f"no fixtures of {codec}"
    for path in configs:
        config = json.loads(path.read_text())
        if config["id"] == "json":  # before json2; numcodecs has it no more
            continue
        for file in sorted(path.parent.glob("encoded.*.dat")):
            number = file.name.split(".")[1]
            # Strings are pickled objects there; the files are numcodecs' own.
            values = np.load(path.parent.parent / f"array.{number}.npy", allow_pickle=True)
            yield Case(file, config, values)


def numcodecs_decodes(case: Case) -> bool:
    try:
        numcodecs.get_codec(dict(case.config)).decode(case.file.read_bytes())
    except (RuntimeError, ValueError):
        return False
    return True


@pytest.mark.parametrize("codec", COMPRESSORS + FILTERS)
def test_published_files_decode(fixtures, codec):
    refused = []
    for case in cases(fixtures, codec):
        try:
            found = case.array()[...]
        except CodecError:
            refused.append(str(case.file.relative_to(fixtures)))
            assert not numcodecs_decodes(case), refused
            continue
        if case.tolerance:
            np.testing.assert_allclose(found, case.expected, rtol=0, atol=case.tolerance)
        elif codec == "vlen-array":
            assert [each.tolist() for each in found] == [each.tolist() for each in case.expected]
        elif codec == "json2":  # NaN is itself as text, and dicts have no order
            assert json.dumps(found.tolist(), sort_keys=True) == json.dumps(
                case.expected.tolist(), sort_keys=True
            )
        elif found.dtype.kind in "OT":
            assert found.tolist() == case.expected.tolist()
        else:
            assert found.tobytes() == case.expected.tobytes(), case.file
    assert refused == REFUSED.get(codec, []), "others than expected are refused"


def test_no_codec_is_left_out_in_silence(fixtures):
    assert {path.name for path in fixtures.iterdir()} == {*COMPRESSORS, *FILTERS, *NOT_READ}


@pytest.mark.parametrize("codec", NOT_READ)
def test_codecs_that_are_refused(fixtures, codec):
    config = json.loads(next((fixtures / codec).rglob("config.json")).read_text())
    with pytest.raises(MetadataError, match="filters"):
        Case(Path("/dev/null"), config, np.array([1, "a"], dtype=object)).array()
