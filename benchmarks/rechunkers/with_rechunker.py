"""Rechunker with its executor for dask, on threads: one process, with the bound of all workers together."""

import dask
import numcodecs
import zarr
from rechunker import rechunk
from trial import Trial


def main() -> None:
    trial = Trial.given()
    data = (trial.workers * trial.memory - trial.idle) // trial.workers
    with dask.config.set(scheduler="threads", num_workers=trial.workers), trial.timed():
        rechunk(
            zarr.open_array(trial.source, mode="r"),
            target_chunks=trial.chunks,
            max_mem=data,
            target_store=trial.target,
            target_options={"compressor": numcodecs.Zstd(1)},
            temp_store=f"{trial.folder}/intermediate.zarr",
            executor="dask",
        ).execute()


if __name__ == "__main__":
    main()
