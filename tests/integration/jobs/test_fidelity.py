"""Nothing is invented on the way through real workers: what does not fit is a dead letter that says so."""

import numpy as np
import zarr

import streamzarr as sz
from streamzarr.queue.letters import DeadLetterQueue


def test_a_value_that_does_not_fit_is_a_dead_letter_that_names_array_chunk_and_value(bench):
    data = np.arange(8)
    data[5] = 70000
    sz.create_array(bench.url("a.zarr"), data=data, chunks=2)
    report = bench.run("copy", "a.zarr", "b.zarr", dtype="i2")
    assert (report.written, report.dead) == (3, 1)
    with bench.open() as broker:
        [(_, letter)] = DeadLetterQueue(broker, bench.topics.dead).ls()
    assert letter.error_class == "CastingError"
    target = sz.open_array(bench.url("b.zarr"))
    assert letter.message.startswith(f"{target.url}: chunk [2]: the value 70000 at [1]")
    assert target[:].tolist() == [0, 1, 2, 3, 0, 0, 6, 7]


def test_strings_are_rechunked_from_v2_to_v3(embedded):
    words = np.array([f"word {n} \u00e9" for n in range(50)], np.dtypes.StringDType())
    sz.create_array(embedded.url("a.zarr"), data=words, chunks=7, zarr_format=2)
    report = embedded.run("copy", "a.zarr", "b.zarr", chunks=20, zarr_format=3)
    assert (report.state, report.bytes) == ("done", sum(len(word.encode()) for word in words))
    assert zarr.open_array(embedded.url("b.zarr"), mode="r")[...].tolist() == words.tolist()


def test_a_pyramid_over_nodata(embedded):
    data = np.full((8, 8), np.nan, "f4")
    data[::2, ::2] = 3
    sz.create_array(embedded.url("a.zarr"), data=data, chunks=4, fill_value=np.nan)
    assert embedded.run("downsample", "a.zarr", "p.zarr", levels=3).complete
    levels = zarr.open_group(embedded.url("p.zarr"), mode="r")
    assert (levels["1"][...] == 3).all()
    assert (levels["2"][...] == 3).all()
