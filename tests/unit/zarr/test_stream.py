"""Streams of chunks: bounded memory, errors in their place, and threads that end with the loop."""

import asyncio
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import CodecError, ConfigError
from streamzarr.stores import MemoryStore
from streamzarr.testing.faults import WrappedStore

MODES = [(1, True), (3, True), (3, False)]
modes = pytest.mark.parametrize(("concurrency", "ordered"), MODES)


@pytest.fixture
def z():
    return sz.create_array("memory://", data=np.arange(40, dtype="i4"), chunks=(2,))


def stream_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("streamzarr-stream")]


@modes
def test_no_more_blocks_exist_than_concurrency_and_what_the_loop_holds(z, monkeypatch, concurrency, ordered):
    lock, alive, most = threading.Lock(), 0, 0
    read = type(z).read

    def ended():
        nonlocal alive
        with lock:
            alive -= 1

    def counted(array, *args, **options):
        nonlocal alive, most
        data = read(array, *args, **options)
        with lock:
            alive += 1
            most = max(most, alive)
        weakref.finalize(data, ended)
        return data

    monkeypatch.setattr(type(z), "read", counted)
    total = 0
    for block in z.stream_chunks(concurrency=concurrency, ordered=ordered):
        total += int(block.data.sum())
    del block
    assert total == sum(range(40))
    # Those in flight or waiting, the one that is handed over, and the one that the loop still holds.
    assert most <= (1 if concurrency == 1 else concurrency + 1) + 1
    assert alive == 0


@pytest.mark.parametrize("concurrency", [1, 4])
def test_an_error_comes_after_all_blocks_before_it(z, concurrency):
    z.store.put(z.chunk_key((7,)), b"broken")
    seen, reports = [], []
    stream = z.stream_chunks(concurrency=concurrency, progress=lambda done, total: reports.append(done))
    with pytest.raises(CodecError, match=r"chunk \(7,\)"):
        seen.extend(block.index for block in stream)
    assert seen == [(n,) for n in range(7)]
    assert reports == list(range(8))
    assert not stream_threads()


def test_an_error_out_of_order_ends_the_stream_too(z):
    z.store.put(z.chunk_key((7,)), b"broken")
    with pytest.raises(CodecError, match=r"chunk \(7,\)"):
        list(z.stream_chunks(concurrency=4, ordered=False))
    assert not stream_threads()


@modes
def test_leaving_early_ends_threads_and_reading(z, concurrency, ordered):
    for block in z.stream_chunks(concurrency=concurrency, ordered=ordered):
        assert block.data.size == 2
        break
    assert not stream_threads()
    filtered = z.stream_chunks(concurrency=concurrency, ordered=ordered, where=lambda index: index[0] % 2)
    assert len(filtered) == len(list(filtered)) == 10


def test_out_of_order_a_slow_chunk_holds_up_nobody():
    gate = threading.Event()

    class SlowFirst(WrappedStore):
        def around(self, call, action):
            if call.key == "c/0":
                gate.wait(10)
            return action()

    data = np.arange(10)
    z = sz.create_array(MemoryStore(), data=data, chunks=(1,), compressors=None, write_empty_chunks=True)
    slow = sz.open_array(SlowFirst(z.store))
    blocks = iter(slow.stream_chunks(concurrency=2, ordered=False))
    others = [next(blocks).index[0] for _ in range(9)]
    gate.set()
    assert others == list(range(1, 10))
    assert [block.index[0] for block in blocks] == [0]


def test_async_loops_that_are_cancelled_or_fail_leave_no_thread(z):
    async def first(stream):
        async for block in stream:
            return block.index
        return None

    async def cancelled():
        began = asyncio.Event()

        async def consume():
            async for _ in z.stream_chunks(concurrency=2):
                began.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(consume())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def two_at_once():
        async def collect():
            return [block.index async for block in z.stream_chunks(concurrency=2)]

        return await asyncio.gather(collect(), collect())

    assert asyncio.run(first(z.stream_chunks(concurrency=2))) == (0,)
    asyncio.run(cancelled())
    one, other = asyncio.run(two_at_once())
    assert one == other == [(n,) for n in range(20)]
    z.store.put(z.chunk_key((0,)), b"broken")
    with pytest.raises(CodecError):
        asyncio.run(first(z.stream_chunks(concurrency=2)))
    for thread in stream_threads():
        thread.join(10)
    assert not stream_threads()


def test_a_slow_store_says_how_many_chunks_to_read_ahead(z):
    class Slow(WrappedStore):
        @property
        def capabilities(self):
            return replace(super().capabilities, in_flight=5)

    assert z.stream_chunks().concurrency == 1
    assert sz.open_array(Slow(z.store)).stream_chunks().concurrency == 5
    assert sz.open_array(Slow(z.store)).stream_chunks(concurrency=2).concurrency == 2


def test_bad_arguments(z):
    for bad in ({"concurrency": 0}, {"missing": "ignore"}):
        with pytest.raises(ConfigError, match=next(iter(bad))):
            z.stream_chunks(**bad)
