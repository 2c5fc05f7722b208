"""A first array: create it, write and read slices, append, reopen, go through it chunk by chunk.

python examples/first_array.py
"""

import tempfile

import numpy as np

import streamzarr as sz

folder = tempfile.TemporaryDirectory()
url = f"{folder.name}/altitude.zarr"

# A year of weekly maps; chunks of 13 weeks, compressed with zstd. Names follow zarr-python 3.
z = sz.create_array(
    url,
    shape=(52, 90, 180),
    chunks=(13, 45, 45),
    dtype="f4",
    compressors="zstd",
    dimension_names=("week", "lat", "lon"),
    attributes={"units": "kelvin"},
)
z[:26] = np.float32(285)
z[26:] = np.linspace(280, 300, 180, dtype="f4")
print(z)
print("one place over the year:", z[::13, 45, 90])

# Rows come at the end; what was there stays where it is.
z.append(np.full((4, 90, 180), 290, "f4"))

# Any Zarr reader can open it: zarr-python, xarray, tensorstore, zarrs.
again = sz.open_array(url)
print("reopened:", again.shape, again.attrs["units"])

# Bounded memory, whatever the size of the array: at most 4 chunks at a time.
hottest = max(float(block.data.max()) for block in again.stream_chunks(concurrency=4))
print("hottest:", hottest)

# Arrays in memory behave the same, and groups hold arrays.
group = sz.create_group("memory://")
group.create_array("cube", data=np.arange(24).reshape(3, 2, 4), chunks=(1, 2, 4))
print(group.tree())
print("shape in the group:", group["cube"].shape)

folder.cleanup()
