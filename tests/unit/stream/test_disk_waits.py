"""Streams of many fields on a disk: puts wait for it together, and not one after the other."""

import threading

import pytest

from streamzarr.stores import LocalStore
from streamzarr.stream import StreamWriter, open_stream
from streamzarr.stream.chunks import puts_in_flight

FIELDS = {f"f{number}": "i4" for number in range(12)}


class Watched(LocalStore):
    """Notes how many puts of fields are under way at a time; the first waits for another."""

    def __init__(self, root, **options):
        super().__init__(root, **options)
        self.lock, self.now, self.most = threading.Lock(), 0, 0
        self.met = threading.Event()

    def put(self, key, data, **condition):
        if key.split("/")[0] not in FIELDS:
            return super().put(key, data, **condition)
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now > 1:
                self.met.set()
        try:
            self.met.wait(5)
            return super().put(key, data, **condition)
        finally:
            with self.lock:
                self.now -= 1


def rows(start, stop):
    return {name: [*range(start, stop)] for name in FIELDS}


def test_documents_and_chunks_of_several_fields_are_under_way_together(tmp_path):
    store = Watched(tmp_path)
    writer = StreamWriter(store, "", schema=FIELDS, chunk_rows=4)
    assert store.met.is_set(), "the documents of a new stream"
    for start, stop, what in ((0, 3, "tails"), (3, 9, "full chunks")):
        store.met.clear()
        writer.append(rows(start, stop))
        if what == "tails":
            writer.commit()
        assert store.met.is_set(), what
    writer.close()
    assert store.most <= puts_in_flight(store, len(FIELDS))
    found = open_stream(store, "")
    assert all(found[name][:].tolist() == [*range(9)] for name in FIELDS)


@pytest.mark.parametrize(
    ("fsync", "count", "puts"), [(True, 7, 1), (True, 12, 3), (True, 2000, 16), (False, 2000, 1)]
)
def test_who_does_not_wait_for_the_disk_needs_no_threads(tmp_path, fsync, count, puts):
    store = LocalStore(tmp_path, fsync=fsync)
    assert (puts_in_flight(store, count), store.capabilities.in_flight) == (puts, 1)
