"""Cubed on processes, which it starts for each computation: that is part of its time.

It counts several copies of what a task holds, so that a process keeps the bound with its interpreter too.
"""

import cubed
import zarr
from targets import make_target
from trial import Trial


def main() -> None:
    trial = Trial.given()
    spec = cubed.Spec(
        trial.folder,
        allowed_mem=trial.memory,
        executor_name="processes",
        executor_options={"max_workers": trial.workers},
    )
    with trial.timed():
        array = cubed.from_zarr(trial.source, spec=spec).rechunk(trial.chunks)
        cubed.store(array, make_target(trial, zarr.open_array(trial.source, mode="r")))


if __name__ == "__main__":
    main()
