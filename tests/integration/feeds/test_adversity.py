"""A full disk, a clock that jumps, schemas that are no schemas, more keys than there is room for.

A feed waits, or refuses the record with a letter; no record is lost, none is there twice.
"""

import contextlib
import errno
import io
import os
import struct
import subprocess

import numpy as np
import pytest

from streamzarr.errors import ConfigError
from streamzarr.feeds import check_feed, open_grid
from streamzarr.feeds.worker import Unsupervised
from streamzarr.runtime.system import SystemRuntime
from streamzarr.stores import replace
from tests.support.feeds import FeedBench, until
from tests.support.schema_registry import SchemaRegistry

DAY_NS = 86_400 * 10**9
KEYS = int(os.environ.get("STREAMZARR_GRID_KEYS", "20000"))


@pytest.fixture
def bench(tmp_path):
    return FeedBench(f"sqlite:///{tmp_path}/queue.db", tmp_path, partitions=1)


def checked(bench):
    [found] = check_feed(bench.target, bench.broker)
    assert found.ok, found
    return found


# -- a full disk -------------------------------------------------------------------------------------------


class SmallDisk:
    """A file system of its own that others have filled, but for some room."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "others").write_bytes(bytes(400_000))

    def free(self):
        (self.folder / "others").unlink()


class BrokenDisk:
    """A disk that says that it is full, after some writes."""

    def __init__(self, folder, monkeypatch):
        self.folder, self._left = folder, 100
        fill = replace.TempFile.fill

        def refused(temp, data):
            self._left -= 1
            if self._left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), temp.name)
            return fill(temp, data)

        monkeypatch.setattr(replace.TempFile, "fill", refused)

    def free(self):
        self._left = 1 << 30


@pytest.fixture(params=["tmpfs", "told so"])
def disk(request, tmp_path, monkeypatch):
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "told so":
        yield BrokenDisk(folder, monkeypatch)
        return
    with contextlib.ExitStack() as stack:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", folder], check=False, capture_output=True
        )
        if mounted.returncode:
            pytest.skip("only root may mount a file system")
        stack.callback(subprocess.run, ["umount", "-l", folder], check=True)
        yield SmallDisk(folder)


def test_a_full_disk_is_waited_for(bench, disk, caplog):
    bench.place = str(disk.folder / "feed.zarr")
    bench.ticks(1200)
    with bench.running() as ended:
        until(lambda: "No space left" in caplog.text or ended, "a full disk")
        assert not ended, ended
        [stream] = bench.streams().values()
        assert np.array_equal(stream["n"][:], np.arange(stream.rows))  # what is visible can be read
        assert stream.rows < 1200
        disk.free()
        until(lambda: bench.caught_up(bench.feed()) or ended, "the end of the topic")
    assert bench.report(ended).ok == 1200
    assert checked(bench).verified == 1200


# -- clocks ------------------------------------------------------------------------------------------------


class JumpyClock(SystemRuntime):
    """Each time that it is asked what time it is, it is another day."""

    asked = 0

    def wall_ns(self):
        self.asked += 1
        return super().wall_ns() + (-1) ** self.asked * self.asked * DAY_NS


def test_a_wall_clock_that_jumps_changes_nothing(bench):
    clock = JumpyClock()
    with bench.running(supervision=Unsupervised("w", clock)) as ended:
        for start in range(0, 500, 100):
            bench.ticks(100, start=start)
            until(lambda: bench.caught_up(bench.feed()) or ended, "the end of the topic")
    assert bench.report(ended).ok == 500
    assert clock.asked > 5
    assert checked(bench).records == 500
    assert np.array_equal(bench.streams()["p00000"]["n"][:], np.arange(500))


def test_records_whose_clock_jumped_keep_their_times_or_have_letters(bench):
    times = [10**12, 10**12 + 1, 4 * 10**12, 12 * 10**11, 10**12 + 2, 5, 10**12 + 3]
    for number, time in enumerate(times):
        bench.send(b'{"n": %d, "bid": 1, "symbol": "A"}' % number, timestamp=time)
    at = {"dtype": "datetime64[ms]", "from": "@timestamp"}
    bench.ingest(bench.feed(columns={"n": "i8", "at": at}))
    assert bench.streams()["p00000"]["at"][:].astype("i8").tolist() == times
    assert checked(bench).records == 7
    bench.place = str(bench.folder / "grid.zarr")
    slots = {"time": "at", "step": "1s", "lateness": "1s"}
    bench.ingest(bench.feed(columns={"n": "i8", "at": at}, target={"layout": "grid"}, grid=slots))
    assert [letter.offset for letter in bench.letters()] == [2, 3, 5]
    for letter, why in zip(bench.letters(), ("of the clock", "of all before", "late by more"), strict=True):
        assert why in letter.message
    checked(bench)


# -- schemas -----------------------------------------------------------------------------------------------


def deep(levels):
    schema = "long"
    for level in range(levels):
        schema = {"type": "record", "name": f"R{level}", "fields": [{"name": "n", "type": schema}]}
    return schema


ITSELF = {"type": "record", "name": "R", "fields": [{"name": "n", "type": ["null", "R"]}]}
POISON = {
    2: "no schema",
    3: {"type": "record", "name": "Tick", "fields": 5},
    4: ITSELF,
    5: deep(150),
    6: {"type": "array", "items": "null"},
    7: {"type": "record", "name": "Tick", "fields": [{"name": "n", "type": "string"}]},
    8: ["null", {"type": "fixed", "name": "f", "size": 10**12}],
}
GOOD = {"type": "record", "name": "Tick", "fields": [{"name": "n", "type": "long"}]}


def test_poisoned_schemas_cost_their_own_records_alone(bench):
    fastavro = pytest.importorskip("fastavro")

    def framed(schema, number):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(GOOD), {"n": number})
        return b"\0" + struct.pack(">I", schema) + out.getvalue()

    schemas = {1: GOOD, **POISON}
    order = [*range(1, 9), 99] * 20  # 99 is none of the registry's
    for at in range(0, len(order), 50):
        bench.send(*(framed(schema, at + n) for n, schema in enumerate(order[at : at + 50])))
    with SchemaRegistry(schemas) as served:
        bench.ingest(bench.feed(decode={"format": "avro", "registry": served.url}, columns={"n": "i8"}))
        assert len(served.asked) == len(set(served.asked)) == 9
    good = [offset for offset, schema in enumerate(order) if schema == 1]
    assert bench.streams()["p00000"]["offset"][:].tolist() == good
    assert [letter.offset for letter in bench.letters()] == [n for n in range(len(order)) if n not in good]
    assert checked(bench).verified == len(order)


# -- keys --------------------------------------------------------------------------------------------------

COLUMNS = {"at": {"dtype": "datetime64[s]", "unit": "s"}, "key": "i8", "n": "i8"}
GRID = {"time": "at", "step": "1s", "key": "key"}


def grid(bench, keys):
    return bench.feed(
        columns={**COLUMNS, "key": "string"},
        target={"layout": "grid", "commit": {"seconds": 0.5}},
        grid={**GRID, "keys": keys},
    )


def test_keys_without_room_have_letters(bench):
    count = 3000
    bench.send(*(b'{"at": 0, "key": "k%d", "n": 1}' % number for number in range(count)))
    bench.send(b'{"at": 1, "key": "k0", "n": 1}', b'{"at": 2, "key": "k0", "n": 1}')
    bench.ingest(grid(bench, keys=64))
    found = open_grid(bench.target)
    assert list(found.keys) == [f"k{number}" for number in range(64)]
    assert found["count"][0].tolist() == [1] * 64
    assert len(bench.letters()) == count - 64
    assert "no room for another key" in bench.letters()[0].message
    checked(bench)


def test_as_many_keys_as_there_is_room_for(bench):
    """``STREAMZARR_GRID_KEYS=1000000`` makes it a million."""
    each = 1000

    def message(start):
        rows = b",".join(b'{"at": 0, "key": "k%d", "n": %d}' % (n, n) for n in range(start, start + each))
        return b"[" + rows + b"]"

    bench.send(*map(message, range(0, KEYS, each)))
    bench.send(b'{"at": 1, "key": "k7", "n": 1}', b'{"at": 2, "key": "k7", "n": 1}')
    bench.ingest(grid(bench, keys=KEYS))
    found = open_grid(bench.target)
    assert (len(found.keys), found.keys[KEYS - 1]) == (KEYS, f"k{KEYS - 1}")
    assert np.array_equal(found["n"][0], np.arange(KEYS))
    assert found["count"][:].sum() == KEYS + 1
    assert bench.letters() == []


def test_room_for_more_cells_than_fit_is_refused(bench):
    with pytest.raises(ConfigError, match="16777216 allowed"):
        bench.feed(
            columns={**COLUMNS, "key": "string"},
            target={"layout": "grid"},
            grid={**GRID, "keys": 1_000_000, "lateness": "1min"},
        )
