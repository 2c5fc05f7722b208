"""The codec alone, on two threads: decode, and encode what would be stored; no Kafka, no files."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from ingest.trial import Trial, Watch
from ingest.workloads import W4, Workload, columns, transformed, values, zstd


def main() -> None:
    trial = Trial.given()
    watch, workload = Watch(trial), trial.workload
    found = list(values(workload, trial.messages))
    with ThreadPoolExecutor(2) as pool:
        step = 8 if workload is W4 else workload.chunk
        for at in range(0, len(found), step):
            some = found[at : at + step]
            encode(workload, some, at, pool)
            watch.took(len(some))
        watch.end()
    watch.tell(trial.messages * workload.rows)


def encode(workload: Workload, found: Sequence[bytes], at: int, pool: ThreadPoolExecutor) -> None:
    if workload is W4:
        list(pool.map(lambda value: zstd.encode(transformed(value)[1]), found))
        return
    fields = columns(workload, found)
    fields["offset"] = np.repeat(np.arange(at, at + len(found)), workload.rows)
    list(pool.map(lambda column: zstd.encode(np.ascontiguousarray(column)), fields.values()))


if __name__ == "__main__":
    main()
