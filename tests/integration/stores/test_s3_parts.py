"""Values that go to S3 in parts."""

import os
from datetime import timedelta

import pytest

from streamzarr.errors import StoreError
from streamzarr.stores import s3
from streamzarr.stores.s3 import S3Store
from tests.support.s3_hooks import DENIED, INCOMPLETE, Answers, Recorder, hooked


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(s3, "MULTIPART_BYTES", 6 << 20)
    monkeypatch.setattr(s3, "PART_BYTES", 5 << 20)


def uploads(store):
    return [begun["Key"] for begun in store._uploads("")]


def test_large_values_go_in_parts(s3_store, small_parts):
    value = os.urandom(12 << 20)
    recorder = Recorder()
    with hooked(s3_store, "before-send.s3", recorder):
        etag = s3_store.put("big", value)
    assert recorder.operations.count("UploadPart") == 3
    assert s3_store.fetch("big").data == value
    assert s3_store.head("big").etag == etag
    assert s3_store.put("big", b"small", if_match=etag)


def test_a_part_that_fails_leaves_nothing(s3_store, small_parts):
    with (
        hooked(
            s3_store,
            "before-send.s3.UploadPart",
            Answers(*[(403, b"<Error><Code>AccessDenied</Code></Error>")] * 9),
        ),
        pytest.raises(StoreError, match=r"cannot write 'big'.*AccessDenied"),
    ):
        s3_store.put("big", bytes(12 << 20))
    assert not s3_store.exists("big")
    assert uploads(s3_store) == []


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "DeleteObject"])
def test_access_denied_to_what_renames_nothing_is_reported_at_once(s3_store, small_parts, operation):
    answers = Answers(*[(403, DENIED)] * 50)
    change = (
        s3_store.delete if operation == "DeleteObject" else lambda key: s3_store.put(key, bytes(12 << 20))
    )
    with (
        hooked(s3_store, f"before-send.s3.{operation}", answers),
        pytest.raises(StoreError, match="Access Denied"),
    ):
        change("a")
    assert len(answers.answers) >= 50 - 3  # the parts of one upload


def test_an_upload_in_parts_that_minio_could_not_rename_is_sent_anew(s3_store, small_parts):
    answers = Answers((403, DENIED), (400, INCOMPLETE))
    with hooked(s3_store, "before-send.s3.CompleteMultipartUpload", answers):
        s3_store.put("a", bytes(12 << 20))
    assert not answers.answers
    assert s3_store.head("a").size == 12 << 20
    assert uploads(s3_store) == []


def test_unfinished_uploads_are_collected_when_old(s3_store, monkeypatch, request):
    boto, bucket = s3_store._client.boto, s3_store._bucket
    boto.create_multipart_upload(Bucket=bucket, Key=f"{s3_store._prefix}/a/big")
    boto.create_multipart_upload(Bucket=bucket, Key=f"{s3_store._prefix}-beside/big")
    monkeypatch.setattr(s3, "STALE_UPLOAD", timedelta(days=36_500))  # moto begins every upload in 2010
    assert s3_store.collect_stale() == 0
    monkeypatch.setattr(s3, "STALE_UPLOAD", timedelta(days=-1))
    assert s3_store.collect_stale("b") == 0
    if request.node.callspec.params["s3_endpoint"] == "minio":
        # MinIO lists the uploads of a single key only, and collects old ones itself.
        assert s3_store.collect_stale() == 0
        return
    assert [*s3_store.list_stale()] == ["a/big"]
    assert s3_store.collect_stale() == 1
    assert uploads(s3_store) == []
    assert uploads(S3Store(bucket, f"{s3_store._prefix}-beside", s3_store._config))
