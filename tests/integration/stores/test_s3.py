"""The S3 store over the wire, with faults put between boto3 and the server."""

import io
import multiprocessing
import os
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest

import streamzarr.zarr as sz
from streamzarr.errors import (
    ConfigError,
    KeyNotFoundError,
    NodeExistsError,
    PreconditionFailedError,
    StoreError,
    UnsupportedError,
)
from streamzarr.stores import (
    RangeRequest,
    SuffixRequest,
    join_url,
    open_store,
    probe_conditional_put,
    s3,
    s3_client,
    s3_retry,
)
from streamzarr.stores.s3 import S3Store
from streamzarr.stores.s3_client import S3Config, client_for
from streamzarr.testing.stores import StoreSuite


class TestS3Store(StoreSuite):
    many_keys = 110

    @pytest.fixture
    def store(self, s3_store, monkeypatch):
        monkeypatch.setattr(s3, "LIST_PAGE", 50)
        return s3_store


# Between boto3 and the server ---------------------------------------------------------------------------


@contextmanager
def hooked(store, event, handler):
    client = store._client
    events = client.boto.meta.events
    direct, client.direct = client.direct, None
    events.register_first(event, handler)
    try:
        yield
    finally:
        events.unregister(event, handler)
        client.direct = direct


def answer(request, status, body=b"", headers=()):
    from botocore.awsrequest import AWSResponse
    from urllib3.response import HTTPResponse

    raw = HTTPResponse(io.BytesIO(body), headers=dict(headers), status=status, preload_content=False)
    return AWSResponse(request.url, status, dict(headers), raw)


class Recorder:
    """Counts requests by operation."""

    def __init__(self):
        self.operations = []
        self.requests = []

    def __call__(self, request, event_name, **_):
        self.operations.append(event_name.rpartition(".")[2])
        self.requests.append(request)


class Answers:
    """Gives the answers of a list instead of the server's, then lets requests through."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def __call__(self, request, **_):
        return answer(request, *self.answers.pop(0)) if self.answers else None


# Arrays -------------------------------------------------------------------------------------------------


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


# Conditional puts ---------------------------------------------------------------------------------------


def test_the_same_value_of_another_writer_is_not_ours(s3_store):
    s3_store.put("a", b"same", if_none_match=True)
    with pytest.raises(PreconditionFailedError):
        s3_store.put("a", b"same", if_none_match=True)


CONFLICT = b"<Error><Code>ConditionalRequestConflict</Code><Message>try again</Message></Error>"


def test_a_conflict_is_tried_again(s3_store):
    answers = Answers((409, CONFLICT), (409, CONFLICT))
    with hooked(s3_store, "before-send.s3.PutObject", answers):
        etag = s3_store.put("a", b"1", if_none_match=True)
    assert not answers.answers
    assert s3_store.head("a").etag == etag


def test_conflict_for_ever_is_an_error(s3_store, monkeypatch):
    monkeypatch.setattr(s3_retry, "pause", lambda attempt: None)
    with (
        hooked(s3_store, "before-send.s3.PutObject", Answers(*[(409, CONFLICT)] * 50)),
        pytest.raises(StoreError),
    ):
        s3_store.put("a", b"1", if_none_match=True)


DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>"
INCOMPLETE = b"<Error><Code>IncompleteBody</Code><Message>too short</Message></Error>"


@pytest.mark.parametrize("condition", [{}, {"if_none_match": True}])
def test_what_minio_says_when_it_has_pruned_a_directory_is_tried_again(s3_store, condition):
    answers = Answers((403, DENIED), (400, INCOMPLETE), (403, DENIED))
    with hooked(s3_store, "before-send.s3.PutObject", answers):
        etag = s3_store.put("a", b"1", **condition)
    assert not answers.answers
    assert s3_store.head("a").etag == etag


@pytest.mark.parametrize(("is_aws", "tries"), [(True, 1), (False, 4)])
def test_access_denied_for_good_is_reported_after_few_tries(s3_store, monkeypatch, is_aws, tries):
    monkeypatch.setattr(s3_store._client, "is_aws", is_aws)
    pauses = []
    monkeypatch.setattr(s3_retry, "pause", pauses.append)
    answers = Answers()
    for write in (
        lambda: s3_store.put("a", b"1"),
        lambda: s3_store.put("a", b"1", if_none_match=True),
        lambda: s3_store.put("a", b"1", if_match="0"),
    ):
        answers.answers = [(403, DENIED)] * 50
        with (
            hooked(s3_store, "before-send.s3.PutObject", answers),
            pytest.raises(StoreError, match="Access Denied"),
        ):
            write()
        assert len(answers.answers) == 50 - tries
    assert pauses == [*range(tries - 1)] * 3


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


def test_a_server_that_compares_the_quotes_too(s3_store, monkeypatch):
    monkeypatch.setattr(s3_client, "_clients", {})
    refused = []

    def ceph(request, **_):
        etag = request.headers.get("If-Match", b"").decode()
        if etag.startswith('"'):
            refused.append(etag)
            return answer(request, 412, b"<Error><Code>PreconditionFailed</Code></Error>")
        return None

    etag = s3_store.put("a", b"1")
    stale = s3_store.put("b", b"1")
    s3_store.put("b", b"2")
    with hooked(s3_store, "before-send.s3.PutObject", ceph):
        etag = s3_store.put("a", b"2", if_match=etag)
        etag = s3_store.put("a", b"3", if_match=etag)
        with pytest.raises(PreconditionFailedError):
            s3_store.put("b", b"3", if_match=stale)
    assert len(refused) == 1  # learnt once
    assert s3_store.get("a") == b"3"


def lie(request, **_):
    for header in ("If-Match", "If-None-Match"):
        del request.headers[header]


def test_the_probe_passes_the_server_and_finds_one_that_ignores_conditions(s3_store):
    probe_conditional_put(s3_store)
    assert list(s3_store.list()) == []
    with (
        hooked(s3_store, "before-sign.s3.PutObject", lie),
        pytest.raises(UnsupportedError, match="if_none_match on a present key was accepted"),
    ):
        probe_conditional_put(s3_store)
    assert list(s3_store.list()) == []


def count_up(store, times):
    for _ in range(times):
        while True:
            found = store.fetch("counter")
            try:
                store.put("counter", b"%d" % (int(found.data) + 1), if_match=found.etag)
                break
            except PreconditionFailedError:
                continue


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_processes_count_without_losing_one(s3_store, method):
    s3_store.put("counter", b"0")
    context = multiprocessing.get_context(method)
    workers = [context.Process(target=count_up, args=(s3_store, 10)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(100)
    assert [worker.exitcode for worker in workers] == [0] * 3
    assert s3_store.get("counter") == b"30"


# Parts --------------------------------------------------------------------------------------------------


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


# Reading ------------------------------------------------------------------------------------------------


def test_reading_never_lists(s3_store):
    s3_store.put("a/b", b"0123456789")
    recorder = Recorder()
    with hooked(s3_store, "before-send.s3", recorder):
        s3_store.get("a/b")
        s3_store.get("a/b", RangeRequest(2, 5))
        s3_store.get_into("a/b", bytearray(10))
        s3_store.get_ranges("a/b", [RangeRequest(0, 1), SuffixRequest(1)])
        s3_store.exists("a")
        s3_store.exists("a/b")
    assert set(recorder.operations) == {"GetObject", "HeadObject"}


def test_near_ranges_are_one_request(s3_store):
    value = os.urandom(1 << 20)
    s3_store.put("shard", value)
    ranges = [RangeRequest(start, start + 1000) for start in range(0, 500_000, 5000)]
    recorder = Recorder()
    with hooked(s3_store, "before-send.s3", recorder):
        assert s3_store.get_ranges("shard", ranges) == [value[r.start : r.stop] for r in ranges]
    assert recorder.operations == ["GetObject"]


def test_ranges_of_one_call_are_of_one_version(s3_store):
    s3_store.put("shard", b"1" * (1 << 20))
    replaced = []

    def replace(request, **_):
        if not replaced and b"bytes=-" not in request.headers.get("Range", b""):
            replaced.append(True)
            s3_store.put("shard", b"2" * (1 << 20))

    with hooked(s3_store, "before-send.s3.GetObject", replace):
        parts = s3_store.get_ranges(
            "shard", [SuffixRequest(10), RangeRequest(0, 10), RangeRequest(900_000, 900_010)]
        )
    assert replaced
    assert parts == [b"2" * 10] * 3


def test_a_server_that_knows_no_ranges(s3_store):
    s3_store.put("a", b"0123456789")

    def forget(request, **_):
        del request.headers["Range"]

    with hooked(s3_store, "before-sign.s3.GetObject", forget):
        assert s3_store.get("a", RangeRequest(2, 5)) == b"234"
        assert s3_store.get("a", SuffixRequest(3)) == b"789"
        assert s3_store.get("a", RangeRequest(20)) == b""


def test_a_server_that_sends_too_much_is_an_error(s3_store):
    s3_store.put("a", b"0123456789")
    headers = {"content-range": "bytes 6-9/10", "content-length": "4", "etag": '"x"'}
    with (
        hooked(s3_store, "before-send.s3.GetObject", Answers((206, b"6789", headers))),
        pytest.raises(StoreError, match="4 bytes for"),
    ):
        s3_store.get("a", SuffixRequest(3))


def test_an_answer_cut_off_is_asked_for_again(s3_store, monkeypatch):
    monkeypatch.setattr(s3_retry, "pause", lambda attempt: None)
    s3_store.put("a", b"0123456789")
    cut = (200, b"01234", {"content-length": "10", "etag": '"x"'})
    with hooked(s3_store, "before-send.s3.GetObject", Answers(cut, cut)):
        assert s3_store.get("a") == b"0123456789"
    with (
        hooked(s3_store, "before-send.s3.GetObject", Answers(*[cut] * 50)),
        pytest.raises(StoreError, match="'a'"),
    ):
        s3_store.get("a")


# The short way of reads --------------------------------------------------------------------------------


class Boto:
    """Counts what goes through boto3, and leaves the short way open."""

    def __init__(self, store):
        self.events = store._client.boto.meta.events
        self.count = 0

    def __call__(self, **_):
        self.count += 1

    def __enter__(self):
        self.events.register("before-send.s3", self)
        return self

    def __exit__(self, *_):
        self.events.unregister("before-send.s3", self)


@pytest.fixture
def fresh_client(monkeypatch):
    monkeypatch.setattr(s3_client, "_clients", {})


def test_after_the_first_read_boto3_is_not_asked(s3_store, fresh_client):
    s3_store.put("a/ü b+c%20", b"0123456789")
    assert s3_store.get("a/ü b+c%20") == b"0123456789"
    with Boto(s3_store) as boto:
        assert s3_store.get("a/ü b+c%20") == b"0123456789"
        assert s3_store.get("a/ü b+c%20", SuffixRequest(2)) == b"89"
        assert s3_store.get_into("missing", bytearray(1)) is None
        with pytest.raises(KeyNotFoundError):
            s3_store.get("missing")
    assert boto.count == 0


# Places -------------------------------------------------------------------------------------------------


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
