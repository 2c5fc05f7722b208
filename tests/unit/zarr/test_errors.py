"""Every error of the array layer is raised by something, says where, and is what Python calls it, too."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import streamzarr as sz
from streamzarr import errors
from streamzarr.errors import StoreError, StreamzarrError
from streamzarr.limits import Limits
from streamzarr.stores import LocalStore, MemoryStore
from streamzarr.testing.faults import Fault, FaultyStore

OTHER_LAYERS = {
    *(
        "AccessDeniedError",
        "AheadError",
        "BufferFullError",
        "CastingError",
        "DamagedError",
        "DamagedRecordError",
        "FailedError",
        "FencedError",
        "HandlerError",
        "LateError",
        "MessageError",
        "OffsetOutOfRangeError",
        "ProcessDiedError",
        "ProcessError",
        "QueueError",
        "TopicReplacedError",
        "QueueReplacedError",
        "SchemaRegistryError",
        "SourceChangedError",
        "StreamGoneError",
        "TopicNotFoundError",
        "TransformError",
        "WorkerError",
    )
}


@pytest.fixture
def url(tmp_path):
    root = sz.create_group(str(tmp_path))
    root.create_array("a", data=np.arange(1, 5), chunks=2, compressors=["zstd", "crc32c"])
    root.create_group("g")
    return str(tmp_path)


def corrupt(url, change):
    store = LocalStore(url)
    store.put("a/c/1", change(store.get("a/c/1")))
    sz.open_array(url, path="a").read()


def bad_document(url):
    LocalStore(url).put("a/zarr.json", b'{"zarr_format": 3, "node_type": "table"}')
    sz.open_array(url, path="a")


RAISED = {
    # zarr-python's ContainsArrayError, ContainsGroupError, NodeNotFoundError and MetadataValidationError.
    "ContainsArrayError": (
        lambda url: sz.create_group(url, path="a"),
        "/a; pass overwrite=True",
        FileExistsError,
    ),
    "ContainsGroupError": (
        lambda url: sz.create_array(url, path="g", shape=(1,), dtype="i4"),
        "/g; pass overwrite=True",
        FileExistsError,
    ),
    "NodeExistsError": (lambda url: sz.copy(url, url), "copied onto itself", FileExistsError),
    "NodeNotFoundError": (lambda url: sz.open_group(url)["none"], "/none", KeyError),
    "MetadataError": (
        bad_document,
        r"/a/zarr.json: expected node_type 'array' or 'group', got 'table'",
        ValueError,
    ),
    "ConfigError": (
        lambda url: sz.create_array(url, path="b/../c", shape=1, dtype="i4"),
        "b/../c",
        ValueError,
    ),
    "LimitExceededError": (
        lambda url: sz.open_array(url, path="a", limits=Limits(max_metadata_bytes=10)),
        "'a/zarr.json' has over 10 bytes",
        StreamzarrError,
    ),
    "CodecError": (
        lambda url: (
            sz.create_array(url, path="b", data=[1, 2], compressors=None).store.put("b/c/0", b"")
            and sz.open_array(url, path="b")[:]
        ),
        r"/b: chunk \(0,\) \(key 'b/c/0'\)",
        StreamzarrError,
    ),
    "ChecksumError": (
        lambda url: corrupt(url, lambda data: bytes([data[0] ^ 1]) + data[1:]),
        r"/a: chunk \(1,\) \(key 'a/c/1'\): .*crc32c",
        errors.CodecError,
    ),
    "DecompressionLimitError": (
        lambda url: (
            sz.create_array(url, path="b", data=np.ones(100_000))
            and sz.open_array(url, path="b", limits=Limits(max_decompression_ratio=10))[:]
        ),
        r"/b: chunk \(0,\) \(key 'b/c/0'\): .* see max_decompression_ratio",
        errors.LimitExceededError,
    ),
    "StoreError": (
        lambda url: FaultyStore(MemoryStore(), [Fault("get")]).get("k"),
        "k",
        StreamzarrError,
    ),
    "KeyNotFoundError": (
        lambda url: sz.zeros((4,), chunks=2).read(missing="error"),
        r"chunk \(0,\) is missing \(key 'c/0'\)",
        KeyError,
    ),
    "PreconditionFailedError": (
        lambda url: LocalStore(url).put("a/zarr.json", b"", if_match="other"),
        "a/zarr.json",
        StoreError,
    ),
    "UnsupportedError": (
        lambda url: sz.open_array(url, path="a").resize(3),
        "/a: opened read-only; open it with mode='r\\+'",
        StoreError,
    ),
}


@pytest.mark.parametrize("name", RAISED)
def test_raised(name, url):
    cause, message, also = RAISED[name]
    kind = getattr(errors, name)
    with pytest.raises(kind, match=message) as caught:
        cause(url)
    assert type(caught.value) is kind
    assert isinstance(caught.value, also)
    assert isinstance(caught.value, StreamzarrError)
    assert not str(caught.value).startswith(("'", '"'))  # KeyError shows the repr of what it is given


def test_there_is_no_other():
    known = {
        name
        for name, each in inspect.getmembers(errors, inspect.isclass)
        if each.__module__ == errors.__name__
    }
    assert known == {"StreamzarrError", *RAISED} | OTHER_LAYERS


def test_index_errors_stay_index_errors(url):
    z = sz.open_array(url, path="a")
    for wrong in (9, (0, 0), [9]):
        with pytest.raises(IndexError):
            z[wrong]
    with pytest.raises(IndexError, match=r"chunk \(7,\) is outside the grid of \(2,\) chunks"):
        z.read_chunk((7,))
