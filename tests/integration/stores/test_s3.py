"""The S3 store over the wire: every store's suite, arrays, and where a store may be."""

from contextlib import suppress

import pytest

import streamzarr.zarr as sz
from streamzarr.errors import (
    ConfigError,
    KeyNotFoundError,
    NodeExistsError,
    PreconditionFailedError,
    StoreError,
)
from streamzarr.stores import join_url, open_store, s3, s3_client, s3_retry
from streamzarr.stores.s3 import S3Store
from streamzarr.stores.s3_client import S3Config, client_for
from streamzarr.testing.stores import StoreSuite
from tests.support.s3_hooks import Recorder, hooked


class TestS3Store(StoreSuite):
    many_keys = 110

    @pytest.fixture
    def store(self, s3_store, monkeypatch):
        monkeypatch.setattr(s3, "LIST_PAGE", 50)
        return s3_store


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_array_that_replaces_its_like_has_another_etag(s3_store, zarr_format):
    name = "a/.zarray" if zarr_format == 2 else "a/zarr.json"
    etags = []
    for _ in range(3):
        made = sz.create_array(
            s3_store, path="a", data=range(1, 7), chunks=2, zarr_format=zarr_format, overwrite=True
        )
        etags.append(s3_store.head(name).etag)
        assert made[:].tolist() == [1, 2, 3, 4, 5, 6]
    assert len(set(etags)) == 3
    recorder = Recorder()
    with hooked(s3_store, "before-send.s3", recorder):
        sz.create_array(s3_store, path="a", shape=6, dtype="i4", zarr_format=zarr_format, overwrite=True)
    assert recorder.operations.count("ListObjectsV2") == 1
    assert recorder.operations.count("DeleteObject") == 0
    assert sz.open_array(s3_store, path="a")[:].tolist() == [0] * 6
    assert not any(key[2:3].isdigit() or key.startswith("a/c") for key in s3_store.list("a"))


def test_overwriting_refuses_foreign_objects(s3_store):
    sz.create_array(s3_store, path="a", data=range(1, 7), chunks=2)
    s3_store.put("a/c/notes.txt", b"mine")
    with pytest.raises(NodeExistsError, match=r"'a/c/notes\.txt'"):
        sz.create_group(s3_store, path="a", overwrite=True)
    assert sz.open_array(s3_store, path="a")[:].tolist() == [1, 2, 3, 4, 5, 6]


def test_a_chunk_is_written_on_a_condition(s3_store):
    z = sz.create_array(s3_store, path="a", shape=4, chunks=2, dtype="i4")
    z.write_chunk((0,), [1, 2], if_none_match=True)
    with pytest.raises(PreconditionFailedError):
        z.write_chunk((0,), [3, 4], if_none_match=True)
    etag = z.chunk_etag((0,))
    z.write_chunk((0,), [0, 0], if_match=etag)
    assert z.has_chunk((0,))
    with pytest.raises(PreconditionFailedError):
        z.write_chunk((0,), [5, 6], if_match=etag)
    assert z[:].tolist() == [0, 0, 0, 0]
    assert z.chunk_etag((1,)) is None


def test_the_prefix_is_a_wall(s3_store):
    boto, bucket, prefix = s3_store._client.boto, s3_store._bucket, s3_store._prefix
    for key in (f"{prefix}x/beside", f"{prefix}-y", "root"):
        boto.put_object(Bucket=bucket, Key=key, Body=b"not ours")
    s3_store.put("a", b"1")
    assert list(s3_store.list()) == ["a"]
    s3_store.delete_prefix("")
    assert S3Store(bucket, f"{prefix}x", s3_store._config).get("beside") == b"not ours"
    with pytest.raises(ConfigError):
        s3_store.get("../root")


def test_directory_objects_of_other_tools_are_not_listed(s3_store):
    boto, bucket, prefix = s3_store._client.boto, s3_store._bucket, s3_store._prefix
    for key in ("", "a/", "a\\b"):
        boto.put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=b"")
    s3_store.put("a/c", b"1")
    assert list(s3_store.list()) == ["a/c"]
    assert s3_store.list_dir().prefixes == ("a/",)
    assert s3_store.list_dir("a").keys == ("a/c",)


def test_a_missing_bucket_is_no_missing_key(s3_endpoint):
    store = S3Store("no-such-bucket-here", "a", S3Config(s3_endpoint))
    for use in (
        lambda: store.get("a"),
        lambda: store.put("a", b""),
        lambda: store.put("a", b"", if_none_match=True),
        lambda: list(store.list()),
        lambda: store.delete_prefix("a"),
    ):
        with pytest.raises(StoreError, match="NoSuchBucket") as caught:
            use()
        assert not isinstance(caught.value, KeyNotFoundError | PreconditionFailedError)


def test_an_unreachable_server_is_a_store_error(monkeypatch):
    monkeypatch.setattr(s3_client, "MAX_ATTEMPTS", 1)
    monkeypatch.setattr(s3_retry, "pause", lambda attempt: None)
    monkeypatch.setattr(s3_client, "_clients", {})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    store = open_store("s3://bucket/a?endpoint_url=http://127.0.0.1:9")
    for use in (
        lambda: store.get("a"),
        lambda: store.put("a", b""),
        lambda: store.put("a", b"", if_none_match=True),
    ):
        with pytest.raises(StoreError, match=r"127\.0\.0\.1:9"):
            use()


def test_anonymous_requests_are_not_signed(s3_store, s3_endpoint):
    store = open_store(f"s3://{s3_store._bucket}/x?endpoint_url={s3_endpoint}&anonymous=true")
    recorder = Recorder()
    with hooked(store, "before-send.s3", recorder), suppress(StoreError):  # 403 from servers that check
        store.exists("a")
    assert "Authorization" not in recorder.requests[0].headers
    with hooked(s3_store, "before-send.s3", recorder):
        s3_store.exists("a")
    assert "Authorization" in recorder.requests[1].headers


def test_urls(s3_store):
    s3_store.put("level/0/zarr.json", b"{}")
    assert open_store(join_url(s3_store.url, "level/0")).get("zarr.json") == b"{}"
    url = "s3://lab/a%20b?endpoint_url=http%3A%2F%2Fhost%3A9&region=eu-north-1&anonymous=true"
    assert open_store(url).url == url
    for bad in ("s3://", "s3:///a", "s3://lab/../x", "s3://lab?secret=x", "s3://lab?anonymous=maybe"):
        with pytest.raises(ConfigError):
            open_store(bad)


def test_stores_of_one_configuration_share_a_client(s3_store):
    other = S3Store(s3_store._bucket, "elsewhere", s3_store._config)
    assert other._client is s3_store._client
    assert client_for(S3Config(s3_store._config.endpoint_url, region="eu-north-1")) is not s3_store._client


def test_a_configuration_that_boto3_refuses():
    for config in (S3Config(profile="no such profile"), S3Config("not a url")):
        with pytest.raises(StoreError):
            S3Store("bucket", config=config).get("a")
