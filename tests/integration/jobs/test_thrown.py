"""A transform may throw whatever it likes: its chunk is a dead letter, the others are written."""

import numpy as np

import streamzarr as sz
from streamzarr.queue.letters import DeadLetterQueue
from tests.support.job_transforms import ERRORS

SIZE, CHUNKS = 8, 24


def test_whatever_a_transform_throws_fails_its_chunk_alone(bench, transforms):
    data = np.arange(SIZE * CHUNKS, dtype="i4")
    sz.create_array(bench.url("a.zarr"), data=data, chunks=SIZE)
    report = bench.run(
        "map",
        "a.zarr",
        "b.zarr",
        transform="throw",
        params={"size": SIZE},
        fleet={"transforms": transforms, "threads": 2, "max_restarts": 0},
    )
    bad = len(ERRORS)
    assert (report.state, report.written, report.dead) == ("incomplete", CHUNKS - bad, bad)
    written = sz.open_array(bench.url("b.zarr"))[bad * SIZE :]
    np.testing.assert_array_equal(written, data[bad * SIZE :] + 1)
    with bench.open() as broker:
        letters = [letter for _, letter in DeadLetterQueue(broker, bench.topics.dead).ls()]
    assert sorted(letter.error_class[:20] for letter in letters) == sorted(
        type(error()).__name__[:20] for error in ERRORS
    )
    assert {letter.stage for letter in letters} == {"execute"}
