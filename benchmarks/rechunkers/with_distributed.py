"""Dask's distributed scheduler: worker processes of one thread, which write to disk beyond their bound."""

import dask.array
import zarr
from distributed import Client, LocalCluster
from targets import make_target
from trial import Trial


def main() -> None:
    trial = Trial.given()
    with (
        LocalCluster(
            n_workers=trial.workers,
            threads_per_worker=1,
            memory_limit=trial.memory,
            local_directory=trial.folder,
            dashboard_address=None,
        ) as cluster,
        Client(cluster),
        trial.timed(),
    ):
        source = zarr.open_array(trial.source, mode="r")
        dask.array.from_zarr(source).rechunk(trial.chunks).to_zarr(make_target(trial, source))


if __name__ == "__main__":
    main()
