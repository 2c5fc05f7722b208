"""The power is cut at every sync in turn: committed rows are there, and the next writer goes on."""

import random

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.stores import LocalStore
from streamzarr.stream import Field, acquire, chunks
from tests.support.power import Disk, PowerCut

SCHEMA = {"x": Field("i8", chunk_rows=4), "y": Field("f4", shape=(2,), chunk_rows=3, chunks=(1,))}
BATCHES = (1, 2, 5, 1)


def rows(start, stop):
    x = np.arange(start, stop)
    return {"x": x, "y": np.stack([x, -x], axis=1).astype("f4")}


def write(store, done):
    """Append and commit; `done` learns of each commit that has returned."""
    with sz.StreamWriter(store, "a/b", schema=SCHEMA) as writer:
        for count in BATCHES:
            writer.append(rows(writer.rows, writer.rows + count), next_offset=writer.rows + count)
            writer.commit()
            done.append(writer.rows)


def check(store, least):
    snapshot = sz.open_stream(store, "a/b")
    assert snapshot.rows >= least
    assert (snapshot.position or 0) == snapshot.rows
    for name, values in rows(0, snapshot.rows).items():
        np.testing.assert_array_equal(snapshot[name][:], values)


def cut_after(folder, syncs, lucky):
    """Write until so many syncs are done; return what survives, what was promised, and if it ended."""
    (folder / "disk").mkdir(parents=True)
    disk, done, ended = Disk(folder / "disk", lucky), [0], True
    disk.left = syncs
    with disk.watched():
        try:
            write(LocalStore(folder / "disk"), done)
        except PowerCut:
            ended = False
    disk.survivors(folder / "left")
    return LocalStore(folder / "left", fsync=False), done[-1], ended


@pytest.mark.parametrize("luck", [0.0, 0.5], ids=["nothing-unsynced-survives", "some-of-it-does"])
def test_committed_rows_survive_a_power_cut_at_any_sync(tmp_path, monkeypatch, luck):
    monkeypatch.setattr(acquire, "probe_conditional_put", lambda store: None)
    chance = random.Random(1)
    for syncs in range(1000):
        store, promised, ended = cut_after(tmp_path / str(syncs), syncs, lambda: chance.random() < luck)
        if promised:
            check(store, promised)
        write(store, [])
        check(store, promised + sum(BATCHES))
        if ended:
            break
    assert syncs > 60


def test_nor_are_they_lost_where_several_puts_wait_for_the_disk_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "FOR_A_THREAD", 1)
    test_committed_rows_survive_a_power_cut_at_any_sync(tmp_path, monkeypatch, 0.5)


def test_a_store_that_does_not_sync_loses_rows(tmp_path, monkeypatch):
    """The disk really drops what is not synced: else the test above would tell nothing."""
    (tmp_path / "disk").mkdir()
    disk = Disk(tmp_path / "disk")
    with disk.watched():
        write(LocalStore(tmp_path / "disk", fsync=False), [])
    disk.survivors(tmp_path / "left")
    with pytest.raises(FileNotFoundError):
        sz.open_stream(tmp_path / "left", "a/b")
