"""Dask's threaded scheduler, which knows no bound of memory."""

import dask
import dask.array
import zarr
from targets import make_target
from trial import Trial


def main() -> None:
    trial = Trial.given()
    with dask.config.set(scheduler="threads", num_workers=trial.workers), trial.timed():
        source = zarr.open_array(trial.source, mode="r")
        dask.array.from_zarr(source).rechunk(trial.chunks).to_zarr(make_target(trial, source))


if __name__ == "__main__":
    main()
