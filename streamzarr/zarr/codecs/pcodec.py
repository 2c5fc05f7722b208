"""What ``numcodecs.pcodec`` decodes, straight into an array of the size that is expected.

Source: https://numcodecs.readthedocs.io/en/stable/compression/pcodec.html
"""

from __future__ import annotations

import numpy as np

from streamzarr.errors import CodecError
from streamzarr.stores.base import BytesLike
from streamzarr.zarr.codecs.base import FAILURES, ChunkSpec, NDArray


def decode_pcodec(data: BytesLike, spec: ChunkSpec) -> NDArray:
    """Return the array of `spec` in a standalone pcodec stream, which may itself hold any number."""
    from pcodec import standalone

    array = np.empty(spec.size, spec.dtype)
    if not spec.size:
        return array.reshape(spec.shape)
    try:
        progress = standalone.simple_decompress_into(bytes(data), array)
    except FAILURES as error:
        raise CodecError(f"pcodec: {error}; got {len(data)} bytes") from error
    if progress.n_processed != spec.size or not progress.finished:
        what = f"{progress.n_processed} values" if progress.finished else "more values"
        raise CodecError(f"pcodec: decodes to {what}, expected {spec.size}")
    return array.reshape(spec.shape)
