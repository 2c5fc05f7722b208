import os

import pytest

from streamzarr.errors import ConfigError
from streamzarr.stores import LocalStore, MemoryStore, is_below, join_url, open_store, overlaps, split_url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file://data/a.zarr",
        "file://",
        "file:///a?fsync",
        "://x",
        "a b://x",
        "s3://lab/a#fragment",
        "file:///a%00b",
        "a\0b",
    ],
)
def test_malformed_urls(url):
    with pytest.raises(ConfigError):
        split_url(url)


@pytest.mark.parametrize("name", ["plain.zarr", "with space", "100%", "what?", "a#b", "ключ", "a+b&c=d"])
def test_a_local_url_names_the_same_directory(tmp_path, name):
    store = LocalStore(tmp_path / name)
    store.put("k", b"v")
    again = open_store(store.url)
    assert again.root == str(tmp_path / name)
    assert again.get("k") == b"v"
    child = open_store(join_url(store.url, name.replace("/", "")))
    assert child.root == str(tmp_path / name / name)


def test_join_url_keeps_options_and_refuses_escapes(tmp_path):
    assert join_url("file:///a?fsync=false", "b/c") == "file:///a/b/c?fsync=false"
    assert join_url("memory://m", "b") == "memory://m/b"
    assert join_url("memory://m/b/", "c") == "memory://m/b/c"
    assert join_url(tmp_path, "b") == str(tmp_path / "b")
    assert join_url("/", "b") == "/b"
    assert join_url("file:///", "b") == "file:///b"
    for path in ("..", "a/../b", "/etc", "a//b", "a\\b"):
        with pytest.raises(ConfigError):
            join_url("file:///a", path)


def test_the_store_at_a_joined_url_is_the_store_below():
    store = MemoryStore()
    store.put("level/0/zarr.json", b"{}")
    assert open_store(join_url(store.url, "level/0")).get("zarr.json") == b"{}"


@pytest.mark.parametrize(
    ("url", "root", "expected"),
    [
        ("s3://lab/a", "s3://lab", True),
        ("s3://lab", "s3://lab/", True),
        ("s3://lab/a/b", "s3://lab/a", True),
        ("s3://lab/ab", "s3://lab/a", False),
        ("s3://laboratory/a", "s3://lab", False),
        ("s3://lab/a/../../b", "s3://lab/a", False),
        ("s3://lab/a/%2e%2e/b", "s3://lab/a", False),
        ("s3://lab/a//b", "s3://lab/a", False),
        ("S3://lab/a", "s3://lab/a", True),
        ("gs://lab/a", "s3://lab/a", False),
        ("s3://lab/a?endpoint_url=http://169.254.169.254", "s3://lab", False),
        ("s3://lab/a", "s3://lab?endpoint_url=http://minio:9000", False),
        ("s3://lab/a?endpoint_url=http://minio:9000", "s3://lab?endpoint_url=http://minio:9000", True),
        ("memory://m/a", "memory://m", True),
        ("memory://m2", "memory://m", False),
        ("user@lab://x", "s3://lab", ConfigError),
    ],
)
def test_is_below_elsewhere(url, root, expected):
    if expected is ConfigError:
        with pytest.raises(ConfigError):
            is_below(url, root)
    else:
        assert is_below(url, root) is expected


def test_is_below_local(tmp_path, monkeypatch):
    base, evil = tmp_path / "base", tmp_path / "base-evil"
    (base / "sub").mkdir(parents=True)
    evil.mkdir()
    (base / "out").symlink_to(evil)
    (base / "in").symlink_to(base / "sub")
    (tmp_path / "alias").symlink_to(base)
    monkeypatch.chdir(tmp_path)

    assert is_below(base, base)
    assert is_below(base / "new.zarr", base)
    assert is_below(f"file://{base}/a", base)
    assert is_below(str(base / "a"), f"file://{base}/")
    assert is_below(f"file://{base}/a?fsync=false", base)
    assert is_below("base/a", base)
    assert is_below(base / "in" / "a", base)
    assert is_below(tmp_path / "alias" / "a", base)
    assert is_below(base, "/")

    assert not is_below(evil, base)
    assert not is_below(tmp_path, base)
    assert not is_below(base / ".." / "base-evil", base)
    assert not is_below(f"file://{base}/%2e%2e/base-evil", base)
    assert not is_below(base / "out" / "a", base)
    assert not is_below(base / "in" / ".." / ".." / "base-evil", base)
    assert not is_below("base/../x", base)
    assert not is_below("memory://base", base)
    assert os.path.exists(base)


OVERLAPS_ELSEWHERE = [
    ("s3://lab/a", "s3://lab/a", True),
    ("s3://lab/a", "s3://lab/a/b", True),
    ("s3://lab", "s3://lab/a/b", True),
    ("s3://lab/ab", "s3://lab/a", False),
    ("s3://lab/a/c", "s3://lab/a/b", False),
    ("s3://laboratory/a", "s3://lab/a", False),
    ("gs://lab/a", "s3://lab/a", False),
    ("S3://lab/a/", "s3://lab//a", True),
    ("s3://lab/%61", "s3://lab/a", True),
    ("s3://lab/x/../a", "s3://lab/./a", True),
    ("s3://lab/a?region=x&endpoint_url=http://h", "s3://lab/a?endpoint_url=http://h&region=x", True),
    ("s3://lab/a?endpoint_url=http://localhost:9000", "s3://lab/a?endpoint_url=http://127.0.0.1:9000/", True),
    ("redis://user:word@HOST:6379/0", "redis://host:6379/0", True),
    ("memory://m", "memory://m/a", True),
    ("memory://m", "memory://M", False),
    ("memory://m", "/m", False),
    ("s3://lab/a", "/lab/a", False),
]


@pytest.mark.parametrize(("a", "b", "expected"), OVERLAPS_ELSEWHERE)
def test_overlaps_elsewhere(a, b, expected):
    assert overlaps(a, b) is expected
    assert overlaps(b, a) is expected


def test_overlaps_through_links_and_file_systems_names(tmp_path, monkeypatch):
    base = tmp_path / "base"
    (base / "sub").mkdir(parents=True)
    (base / "in").symlink_to(base / "sub")
    (tmp_path / "alias").symlink_to(base)
    (tmp_path / "dangling").symlink_to(base / "new")
    (base / "a.zip").write_bytes(b"")
    (tmp_path / "other.zip").hardlink_to(base / "a.zip")
    monkeypatch.chdir(tmp_path)
    for a, b in (
        (tmp_path / "alias" / "new", base / "new" / "deep"),
        (tmp_path / "dangling", base / "new"),
        (base / "in" / "a", base / "sub"),
        (base / "in" / ".." / "x", f"file://{base}/x"),
        ("base/new", f"FILE://localhost{tmp_path}/alias/%6eew/"),
        (f"zip://{base}/a.zip", base),
        (f"zip://{base}/a.zip/level/0", base / "a.zip"),
        (f"zip://{tmp_path}/alias/a.zip", f"ZIP://{base}/a.zip/level"),
        (tmp_path / "other.zip", base / "a.zip"),
        (f"sqlite://{base}/queue.db", tmp_path / "alias"),
        ("/", base),
    ):
        assert overlaps(a, b), (a, b)
        assert overlaps(b, a), (a, b)
    for a, b in (
        (base / "in" / "a", base / "sub" / "b"),
        (tmp_path / "base-evil", base),
        (f"zip://{base}/a.zip/0", f"zip://{base}/a.zip/1"),
        (f"zip://{base}/a.zip", base / "sub"),
    ):
        assert not overlaps(a, b), (a, b)
        assert not overlaps(b, a), (a, b)
