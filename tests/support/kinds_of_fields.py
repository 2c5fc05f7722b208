"""A stream with a field of each kind: sorted, of several chunks a row, of text, and all fill value."""

import numpy as np

from streamzarr.stream import Field

SCHEMA = {
    "x": Field("i8", chunk_rows=4, sorted=True),
    "y": Field("u1", shape=(3,), chunk_rows=5, chunks=(2,), compressors="gzip"),
    "name": Field("string", chunk_rows=3),
    "zero": Field("f4", chunk_rows=2),
}


def batch(start, stop):
    x = np.arange(start, stop)
    return {
        "x": x,
        "y": np.repeat(x.astype("u1"), 3).reshape(-1, 3),
        "name": [f"row {row}" for row in x],
        "zero": np.zeros(len(x)),
    }
