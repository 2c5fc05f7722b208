"""What the environments of the peers hold, by name of the environment."""

_NUMPY = "numpy==2.4.6"
PINS = {
    "dask": ("dask[array]==2026.8.0", "distributed==2026.8.0", "zarr==3.1.6", "numcodecs==0.16.6", _NUMPY),
    # Rechunker reads and writes with zarr-python 2 only.
    "rechunker": ("rechunker==0.5.4", "dask[array]==2026.8.0", "zarr==2.18.7", "numcodecs==0.15.2", _NUMPY),
    "cubed": ("cubed==0.27.0", "zarr==3.1.6", "numcodecs==0.16.6", _NUMPY),
}
