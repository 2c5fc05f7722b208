"""Hostile stores and archives: the right error, and memory that does not depend on what they claim.

Each case runs in a process of its own, whose peak of resident memory is measured (P10).
"""

import json
import multiprocessing
import struct
import zipfile
import zlib

import pytest

from streamzarr.errors import (
    ChecksumError,
    LimitExceededError,
    MetadataError,
    StoreError,
    UnsupportedError,
)
from tests.support import hostile

MIB = 1 << 20
END = struct.Struct("<4s4H2LH")
ENTRY = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")


def measure(read, path):
    """Return the name of the error that `read` of `path` raises, its message, and MiB of memory taken."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([hostile.__name__])
    ours, theirs = context.Pipe()
    process = context.Process(target=hostile.attempt, args=(read, str(path), theirs))
    process.start()
    theirs.close()
    assert ours.poll(120)
    result = ours.recv()
    process.join(60)
    assert process.exitcode == 0
    return result


def assert_refused(read, path, error, *, most, match=""):
    name, message, taken = measure(read, path)
    assert name == error.__name__, message
    assert path.name in message
    assert match in message
    assert taken < most, f"{taken:.0f} MiB for: {message}"


def archive(path, entries, locals_=b"", *, gap=0, count=None, size=None):
    """Write an archive from its parts; the `gap` before the directory takes no room on the disk."""
    directory = b"".join(entries)
    count = len(entries) if count is None else count
    size = len(directory) if size is None else size
    with path.open("wb") as file:
        file.write(locals_)
        file.truncate(len(locals_) + gap)
        file.seek(len(locals_) + gap)
        file.write(directory + END.pack(b"PK\5\6", 0, 0, count, count, size, len(locals_) + gap, 0))


def entry(name, offset, packed, size, crc=0, method=0):
    head = (b"PK\1\2", 20, 20, 0, method, 0, 0, crc, packed, size, len(name), 0, 0, 0, 0, 0, offset)
    return ENTRY.pack(*head) + name


def local(name, data, method=0):
    head = (b"PK\3\4", 20, 0, method, 0, 0, zlib.crc32(data), len(data), len(data), len(name), 0)
    return LOCAL.pack(*head) + name + data


def test_an_archive_whose_directory_claims_gigabytes(tmp_path):
    path = tmp_path / "a.zip"
    archive(path, [], gap=3 << 30, size=3 << 30)
    assert_refused("list", path, LimitExceededError, most=20, match="a directory of 3221225472 bytes")


def test_an_archive_of_very_many_members(tmp_path):
    path = tmp_path / "a.zip"
    count = 65_000
    members = [local(b"c/%d" % number, b"") for number in range(count)]
    offset, entries = 0, []
    for number, member in enumerate(members):
        entries.append(entry(b"c/%d" % number, offset, 0, 0))
        offset += len(member)
    archive(path, entries, b"".join(members))
    name, message, taken = measure("list", path)
    assert (name, message) == ("", str(count))
    assert taken < 40


@pytest.mark.parametrize("claimed", [0, 1, 3, 60_000])
def test_an_archive_that_lies_about_the_number_of_its_members(tmp_path, claimed):
    path = tmp_path / "a.zip"
    one, other = local(b"a", b"1"), local(b"b", b"2")
    archive(path, [entry(b"a", 0, 1, 1), entry(b"b", len(one), 1, 1)], one + other, count=claimed)
    assert_refused("list", path, StoreError, most=20, match="members")


def test_members_that_share_their_data_are_a_bomb(tmp_path):
    """A thousand members, one kernel: as in D. Fifield, "A better zip bomb", 2019."""
    path = tmp_path / "a.zip"
    kernel = local(b"kernel", b"0" * 1000)
    archive(path, [entry(b"c/%d" % number, 0, 1000, 1000) for number in range(1000)], kernel)
    assert_refused("list", path, StoreError, most=20, match="members lie on each other")
    nested = local(b"outer", local(b"inner", b"1"))
    archive(path, [entry(b"outer", 0, 36, 36), entry(b"inner", 35, 1, 1)], nested)
    assert_refused("list", path, StoreError, most=20, match="members lie on each other")


def test_a_member_that_reaches_into_the_directory(tmp_path):
    path = tmp_path / "a.zip"
    archive(path, [entry(b"a", 0, 5000, 5000)], local(b"a", b"1"))
    assert_refused("list", path, StoreError, most=20, match="reaches into the directory")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_that_lie_about_their_size(tmp_path, method):
    path = tmp_path / "a.zip"
    begin = local(b"a", b"", method)
    archive(path, [entry(b"a", 0, 3 << 30, 10, method=method)], begin, gap=3 << 30)
    assert_refused("get", path, ChecksumError, most=20)
    archive(path, [entry(b"a", 0, 3 << 30, 3 << 30, method=method)], begin, gap=3 << 30)
    assert_refused("get", path, LimitExceededError, most=20)


def test_a_member_that_inflates_without_end(tmp_path):
    path = tmp_path / "a.zip"
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"".join(squeezed.compress(bytes(MIB)) for _ in range(500)) + squeezed.flush()
    member = LOCAL.pack(b"PK\3\4", 20, 0, 8, 0, 0, 0, len(data), MIB, 1, 0) + b"a" + data
    archive(path, [entry(b"a", 0, len(data), MIB, method=8)], member)
    assert_refused("get", path, ChecksumError, most=20, match="or more, expected 1048576")


@pytest.mark.parametrize("document", ["zarr.json", ".zarray", ".zgroup"])
def test_a_document_of_gigabytes(tmp_path, document):
    path = tmp_path / "a.zarr"
    path.mkdir()
    with (path / document).open("wb") as file:
        file.truncate(8 << 30)
    assert_refused("open", path, LimitExceededError, most=150)


@pytest.mark.parametrize("depth", [65, 1000, 100_000, 5_000_000])
def test_a_document_nested_without_end(tmp_path, depth):
    path = tmp_path / "a.zarr"
    path.mkdir()
    nested = '{"a":' * depth + "1" + "}" * depth
    (path / "zarr.json").write_text(f'{{"zarr_format": 3, "node_type": "group", "attributes": {nested}}}')
    assert_refused("open", path, LimitExceededError, most=20 + 10 * depth // MIB, match="nested deeper")


@pytest.mark.parametrize("compressor", [None, "zstd", "gzip", "blosc"])
def test_a_chunk_of_gigabytes(tmp_path, compressor):
    path = tmp_path / "a.zarr"
    hostile.create(path, compressor)
    with (path / "c" / "0").open("wb") as file:
        file.truncate(8 << 30)
    name, message, taken = measure("read", path)
    assert name in ("LimitExceededError", "CodecError"), message
    assert "a.zarr" in message
    assert taken < 100, message


def test_an_array_that_claims_more_than_memory(tmp_path):
    path = tmp_path / "a.zarr"
    hostile.create(path, None)
    document = json.loads((path / "zarr.json").read_text())
    document["shape"] = [1 << 50]
    document["chunk_grid"]["configuration"]["chunk_shape"] = [1 << 50]
    (path / "zarr.json").write_text(json.dumps(document))
    name, message, taken = measure("read", path)
    assert name in (LimitExceededError.__name__, MetadataError.__name__), message
    assert taken < 20


def test_groups_within_groups_are_walked_without_recursion(tmp_path):
    path = tmp_path / "a.zarr"
    depth = hostile.make_deep(path)
    name, message, taken = measure("members", path)
    assert (name, message) == ("", str(depth))
    assert taken < 40


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "/proc/self/environ"])
def test_links_and_paths_that_lead_outside(tmp_path, target):
    path = tmp_path / "a.zarr"
    path.mkdir()
    (tmp_path.parent / "outside").write_text("secret")
    (path / "zarr.json").symlink_to(target)
    assert_refused("open", path, UnsupportedError, most=20)


def test_memory_is_really_measured(tmp_path):
    """The measure sees what a case takes, so that the bounds above mean something."""
    assert measure("waste", tmp_path)[2] > 190
