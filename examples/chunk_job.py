"""A chunk job with a transform of our own: two worker processes, a queue in a file, no server.

python examples/chunk_job.py [kafka://host:9092]

Workers import the modules that their operator names, here this very file as ``chunk_job``. A message can only
say which registered transform to use; it never carries code.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import streamzarr as sz


@sz.transform
def anomaly(block, *, mean):
    """Return a block of temperatures as differences from `mean`, in the same shape and dtype."""
    return block - block.dtype.type(mean)


def main() -> None:
    """Make an array, run the job, and hold the result to numpy's own."""
    with tempfile.TemporaryDirectory() as folder:
        broker = sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/queue.db"
        data = np.random.default_rng(7).normal(288, 9, (400, 1000)).astype("f4")
        sz.create_array(f"{folder}/temperature.zarr", data=data, chunks=(20, 1000), zarr_format=2)

        with sz.Fleet(broker, workers=2, roots=[folder], transforms=["chunk_job"]):
            job = sz.jobs.submit(
                "map",
                f"{folder}/temperature.zarr",
                f"{folder}/anomaly.zarr",
                broker=broker,
                transform="anomaly",
                params={"mean": 288.0},
                chunks=(100, 100),
                compressors="zstd",
                zarr_format=3,
            )
            with job:
                report = job.wait(progress=True)

        print(f"{report.written} of {report.tasks} chunks written, {report.dead} dead letters")
        assert np.array_equal(sz.open_array(f"{folder}/anomaly.zarr")[:], data - np.float32(288))
        print("every value is numpy's")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))  # where the workers find this module
    main()
