"""The target of peers that write with zarr-python 3."""

import numcodecs
import zarr
from trial import Trial


def make_target(trial: Trial, source: zarr.Array) -> zarr.Array:
    return zarr.create_array(
        trial.target,
        shape=source.shape,
        chunks=trial.chunks,
        dtype=source.dtype,
        compressors=numcodecs.Zstd(1),
        zarr_format=2,
    )
