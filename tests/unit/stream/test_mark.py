"""A mark makes bytes of their own for each put, and every reader decodes what was encoded."""

import numpy as np
import pytest
import tensorstore as ts
import zarr

import streamzarr as sz
from streamzarr.stores import LocalStore
from streamzarr.stream import Field

ROWS = np.arange(512) % 2


@pytest.mark.parametrize("compressors", ["zstd", "gzip", "blosc"])
@pytest.mark.parametrize("dtype", ["?", "i8", "f4"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_chunks_of_the_same_rows_differ_and_decode(tmp_path, compressors, dtype):
    field = Field(dtype, chunk_rows=512, compressors=compressors)
    stored = []
    for name in ("a", "b"):
        with sz.StreamWriter(LocalStore(tmp_path / name, fsync=False), schema={"x": field}) as writer:
            writer.append({"x": ROWS.astype(dtype)})
        stored.append((tmp_path / name / "x/c/0").read_bytes())
    assert stored[0] != stored[1]
    path = str(tmp_path / "a/x")
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}
    assert ts.open(spec).result().read().result().tolist() == ROWS.astype(dtype).tolist()
    assert sz.open_array(path)[:].tolist() == ROWS.astype(dtype).tolist()
    for pipeline in ("zarr.core.codec_pipeline.BatchedCodecPipeline", "zarrs.ZarrsCodecPipeline"):
        with zarr.config.set({"codec_pipeline.path": pipeline}):
            assert zarr.open_array(path, mode="r")[:].tolist() == ROWS.astype(dtype).tolist()


def test_what_blosc_only_copies_has_no_room_for_a_mark(tmp_path):
    values = np.frombuffer(np.random.default_rng(1).bytes(64), "i8")
    with sz.StreamWriter(tmp_path, schema={"x": Field("i8", chunk_rows=8, compressors="blosc")}) as writer:
        writer.append({"x": values})
    assert sz.open_stream(tmp_path)["x"][:].tolist() == values.tolist()
