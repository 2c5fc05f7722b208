"""Batches: every row once an epoch, in step, shared, read ahead, and bounded."""

import pickle  # noqa: TID251 - loaders are sent to workers
import sys
import threading
import types

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.data import Batches, batches
from streamzarr.errors import CodecError, ConfigError
from streamzarr.stores import MemoryStore
from streamzarr.testing.faults import RecordingStore

X = np.arange(309 * 3, dtype="f4").reshape(309, 3)
Y = np.arange(309)
SHUFFLES = [None, "chunks", "rows"]
shuffles = pytest.mark.parametrize("shuffle", SHUFFLES)


@pytest.fixture(scope="module")
def x(tmp_path_factory):
    return sz.create_array(tmp_path_factory.mktemp("x"), data=X, chunks=(20, 2))


@pytest.fixture(scope="module")
def y(tmp_path_factory):
    return sz.create_array(tmp_path_factory.mktemp("y"), data=Y, chunks=(50,))


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("streamzarr-data")]


@shuffles
@pytest.mark.parametrize("prefetch", [0, 1, 4])
@pytest.mark.parametrize("buffer", [None, 1, 64, 1000])
def test_every_row_comes_once_and_arrays_stay_in_step(x, y, shuffle, prefetch, buffer):
    loader = batches(x, y, batch_size=32, shuffle=shuffle, prefetch=prefetch, buffer=buffer, seed=1)
    assert isinstance(loader, Batches)
    seen = list(loader)
    assert len(seen) == len(loader) == 10
    assert [len(labels) for _, labels in seen] == [32] * 9 + [21]
    labels = np.concatenate([labels for _, labels in seen])
    assert sorted(labels) == list(range(309))
    assert np.array_equal(np.concatenate([features for features, _ in seen]), X[labels])
    assert (shuffle is None) == np.array_equal(labels, Y)
    assert all(features.flags.writeable for features, _ in seen)


@pytest.mark.parametrize(
    "layout",
    [{"chunks": (20,)}, {"chunks": (10,), "shards": (40,)}, {"zarr_format": 2}, {"chunks": [[100, 9, 200]]}],
)
@shuffles
def test_one_array_of_any_layout_gives_arrays(layout, shuffle):
    z = sz.create_array("memory://", data=Y, **layout)
    seen = list(batches(z, batch_size=50, shuffle=shuffle))
    assert all(isinstance(batch, np.ndarray) for batch in seen)
    assert sorted(np.concatenate(seen)) == Y.tolist()
    assert sorted(np.concatenate(list(batches(Y, batch_size=7, shuffle=shuffle)))) == Y.tolist()


@shuffles
def test_epochs_differ_and_repeat(x, shuffle):
    loader = batches(x, batch_size=100, shuffle=shuffle, seed=7)
    epochs = [np.concatenate(list(loader)) for _ in range(3)]
    assert loader.epoch == 3
    again = batches(x, batch_size=100, shuffle=shuffle, seed=7)
    again.set_epoch(1)
    assert np.array_equal(np.concatenate(list(again)), epochs[1])
    assert np.array_equal(epochs[0], epochs[1]) == (shuffle is None)
    other = np.concatenate(list(batches(x, batch_size=100, shuffle=shuffle)))
    assert np.array_equal(other, epochs[0]) == (shuffle is None)


def test_without_a_last_short_batch(x):
    loader = batches(x, batch_size=100, drop_last=True)
    assert [len(batch) for batch in loader] == [100] * 3
    assert len(loader) == 3
    assert list(batches(X[:0], batch_size=4)) == []
    assert len(batches(X[:0], batch_size=4)) == 0


@shuffles
@pytest.mark.parametrize(("world_size", "workers"), [(1, 3), (3, 1), (2, 2), (4, 20)])
def test_ranks_and_workers_share_an_epoch(y, shuffle, world_size, workers):
    seen = []
    for rank in range(world_size):
        loader = batches(y, batch_size=10, shuffle=shuffle, seed=3, rank=rank, world_size=world_size)
        count = 0
        for worker in range(workers):
            loader.set_epoch(5)
            share = list(loader.iterate(worker, workers))
            count += len(share)
            seen += [row for batch in share for row in batch.tolist()]
        assert count == len(loader)
    assert sorted(seen) == list(range(309))


def test_ranks_have_equally_many_batches_when_the_last_is_dropped(y):
    lengths = {
        sum(1 for _ in batches(y, batch_size=10, drop_last=True, rank=rank, world_size=4))
        for rank in range(4)
    }
    assert lengths == {7}


@shuffles
def test_each_chunk_is_read_once_an_epoch_but_for_single_rows(shuffle):
    store = RecordingStore(MemoryStore())
    z = sz.create_array(store, data=X, chunks=(20, 3))
    store.clear()
    assert len(list(batches(z, batch_size=16, shuffle=shuffle, buffer=309, seed=2))) == 20
    chunks = [call.key for call in store.calls if call.key.startswith("c/")]
    assert sorted(chunks) == sorted(set(chunks))
    assert len(chunks) == 16
    assert store.count("list") == 0


def test_memory_is_bounded_by_the_buffer(monkeypatch):
    z = sz.create_array("memory://", data=np.arange(3000), chunks=(10,))
    largest = 0
    read = type(z).read

    def counted(array, *args, **options):
        nonlocal largest
        data = read(array, *args, **options)
        largest = max(largest, data.nbytes)
        return data

    monkeypatch.setattr(type(z), "read", counted)
    for shuffle in SHUFFLES:
        assert sum(len(batch) for batch in batches(z, batch_size=20, shuffle=shuffle, buffer=100)) == 3000
    assert 0 < largest <= (100 + 10) * 8


@pytest.mark.parametrize("prefetch", [0, 3])
def test_leaving_early_ends_the_thread(x, prefetch):
    for batch in batches(x, batch_size=10, prefetch=prefetch):
        assert len(batch) == 10
        assert bool(loader_threads()) == bool(prefetch)
        break
    assert not loader_threads()


@pytest.mark.parametrize("prefetch", [0, 3])
def test_an_error_comes_after_the_batches_before_it(prefetch):
    x = sz.create_array("memory://", data=X, chunks=(20, 2))
    x.store.put(x.chunk_key((5, 0)), b"broken")
    seen = []
    with pytest.raises(CodecError, match=r"chunk \(5, 0\)"):
        seen.extend(batches(x, batch_size=20, buffer=20, prefetch=prefetch))
    assert np.array_equal(np.concatenate(seen), X[:100])
    assert not loader_threads()


def test_pickles_with_its_arrays_seed_and_epoch(x, y):
    loader = batches(x, y, batch_size=50, shuffle="rows")
    list(loader)
    again = pickle.loads(pickle.dumps(loader))
    assert again.epoch == 1
    for (ours, _), (theirs, _) in zip(loader, again, strict=True):
        assert np.array_equal(ours, theirs)
    assert repr(loader) == "<Batches of 50 rows, 7 an epoch, next is epoch 2>"


@pytest.mark.parametrize(
    ("wrong", "options"),
    [
        ("batch_size", {"batch_size": 0}),
        ("shuffle", {"shuffle": "all"}),
        ("buffer", {"buffer": 0}),
        ("prefetch", {"prefetch": -1}),
        ("seed", {"seed": -1}),
        ("world_size", {"world_size": 0}),
        ("rank", {"rank": 2, "world_size": 2}),
    ],
)
def test_bad_arguments(wrong, options):
    with pytest.raises(ConfigError, match=wrong):
        batches(X, **{"batch_size": 4} | options)


def test_bad_arrays():
    for arrays in ((), (X, Y[:5]), (np.zeros(()),)):
        with pytest.raises(ConfigError, match="arrays"):
            batches(*arrays, batch_size=4)


@pytest.fixture
def torch(monkeypatch):
    """As much of torch as the dataset touches; the real one is too large for the tests."""
    data = types.ModuleType("torch.utils.data")
    data.IterableDataset = type("IterableDataset", (), {})
    data.get_worker_info = lambda: None
    module = types.ModuleType("torch")
    module.from_numpy = lambda array: ("tensor", array)
    utils = types.ModuleType("torch.utils")
    for name, each in (("torch", module), ("torch.utils", utils), ("torch.utils.data", data)):
        monkeypatch.setitem(sys.modules, name, each)
    monkeypatch.delitem(sys.modules, "streamzarr.data.torch", raising=False)
    yield data
    sys.modules.pop("streamzarr.data.torch", None)


def test_a_torch_dataset_of_tensors_shared_by_workers(torch, x, y):
    dataset = batches(x, y, batch_size=50, shuffle="chunks", seed=1).to_torch()
    assert isinstance(dataset, torch.IterableDataset)
    assert len(dataset) == 7
    [(kind, features), (_, labels)] = next(iter(dataset))
    assert kind == "tensor"
    assert np.array_equal(features, X[labels])
    rows = []
    for worker in range(3):
        import streamzarr.data.torch as ours

        ours.get_worker_info = lambda worker=worker: types.SimpleNamespace(id=worker, num_workers=3)
        sent = pickle.loads(pickle.dumps(dataset))  # as a DataLoader sends it, anew for each epoch
        sent.set_epoch(4)
        rows += [row for _, (_, part) in sent for row in part.tolist()]
    assert sorted(rows) == list(range(309))
    single = batches(y, batch_size=309).to_torch()
    ours.get_worker_info = lambda: None
    [(kind, everything)] = list(single)
    assert (kind, everything.tolist()) == ("tensor", Y.tolist())
