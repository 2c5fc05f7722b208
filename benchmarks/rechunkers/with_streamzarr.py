"""Ours: two worker processes and the embedded broker."""

from trial import Trial

import streamzarr as sz


def main() -> None:
    trial = Trial.given()
    broker = f"sqlite:///{trial.folder}/queue.db"
    with sz.Fleet(broker, workers=trial.workers, roots=[trial.source, trial.folder]), trial.timed():
        with sz.jobs.submit(
            "copy",
            trial.source,
            trial.target,
            broker=broker,
            chunks=trial.chunks,
            max_task_bytes=trial.memory - trial.idle,
        ) as job:
            report = job.wait()
        assert report.complete, report


if __name__ == "__main__":
    main()
