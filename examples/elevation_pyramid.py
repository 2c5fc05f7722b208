"""World altitude as a multiscale pyramid: recompress and rechunk, then three levels for maps that zoom.

python examples/elevation_pyramid.py [kafka://host:9092]

Reads ``world_altitude.h5`` (2160 x 4320, from pvlib) from the folder STREAMZARR_DATA, by default
``../shared/data`` beside this project, and makes a stand-in of the same shape where it is not there.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

import streamzarr as sz

DATA = Path(os.environ.get("STREAMZARR_DATA", Path(__file__).parents[2] / "shared" / "data"))


def altitude() -> np.ndarray:
    """Return altitudes, shape (2160, 4320), uint8."""
    recorded = DATA / "world_altitude.h5"
    if recorded.exists():
        try:
            import h5py
        except ImportError:
            print("h5py is not installed")
        else:
            with h5py.File(recorded) as file:
                print(f"read {recorded.name}")
                return np.asarray(next(iter(file.values())))
    print("generated a stand-in for world_altitude.h5")
    lat, lon = np.meshgrid(np.linspace(-1.57, 1.57, 2160), np.linspace(-3.14, 3.14, 4320), indexing="ij")
    waves = np.sin(5 * lat + np.cos(3 * lon)) * np.cos(4 * lon) + np.random.default_rng(0).normal(
        0, 0.05, lat.shape
    )
    return np.clip(120 + 60 * waves, 0, 255).astype("u1")


def halved(block: np.ndarray) -> np.ndarray:
    """Return the mean of each 2 x 2 cells as numpy computes it, rounded half to even."""
    cells = block.reshape(block.shape[0] // 2, 2, block.shape[1] // 2, 2)
    return np.rint(cells.mean(axis=(1, 3))).astype(block.dtype)


def main() -> None:
    """Run both jobs and hold every level to numpy's own."""
    data = altitude()
    with tempfile.TemporaryDirectory() as folder:
        broker = sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/queue.db"
        old, new, pyramid = (f"{folder}/{name}.zarr" for name in ("old", "new", "pyramid"))
        sz.create_array(old, data=data, chunks=(135, 135), compressors="blosc", zarr_format=2)

        with sz.Fleet(broker, workers=2, roots=[folder]):
            with sz.jobs.submit(
                "copy", old, new, broker=broker, chunks=(540, 540), compressors="zstd", zarr_format=3
            ) as job:
                assert job.wait(progress=True).complete
            with sz.jobs.submit("downsample", new, pyramid, broker=broker, factor=2, levels=3) as job:
                assert job.wait(progress=True).complete

        group = sz.open_group(pyramid)
        print(group.tree())
        expected = data
        for level in range(3):
            assert np.array_equal(group[str(level)][:], expected)
            if level < 2:
                expected = halved(expected)
        print("every level is numpy's")


if __name__ == "__main__":
    main()
