"""The S3 store when answers are lost, cut or replaced between it and a real server."""

import os
import ssl
import uuid

import pytest
from botocore.retries.standard import ExponentialBackoff

from streamzarr.errors import KeyNotFoundError, PreconditionFailedError, StoreError
from streamzarr.stores import RangeRequest, s3, s3_client, s3_retry
from streamzarr.stores.s3 import S3Store
from streamzarr.stores.s3_client import S3Config
from tests.support.s3_proxy import FaultyProxy, answer, cut, drop, lose

SLOW_DOWN = answer(503, "SlowDown")
CONFLICT = answer(409, "OperationAborted")


@pytest.fixture(scope="session")
def server_behind_proxy(s3_endpoint):
    with FaultyProxy(s3_endpoint) as proxy:
        yield proxy


@pytest.fixture
def proxy(server_behind_proxy):
    server_behind_proxy.clear()
    return server_behind_proxy


@pytest.fixture
def store(proxy, s3_bucket):
    return S3Store(s3_bucket, f"faults/{uuid.uuid4().hex}", S3Config(proxy.endpoint))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(s3_retry, "pause", lambda attempt: None)
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda self, context: 0)


@pytest.fixture
def short_way(store, proxy):
    """A store that has learnt to read without boto3."""
    store.put("known", b"0123456789")
    assert store.get("known") == b"0123456789"
    proxy.clear()
    return store


def by_boto(request):
    return "Boto" in request.header("User-Agent")


# Writing ------------------------------------------------------------------------------------------------


def test_a_lost_answer_to_a_conditional_put_is_recognised_as_our_own(store, proxy):
    proxy.plan("PUT", lose)
    etag = store.put("a", b"1", if_none_match=True)
    assert store.fetch("a").data == b"1"
    assert store.fetch("a").etag == etag
    proxy.plan("PUT", lose)
    etag = store.put("a", b"2", if_match=etag)
    assert store.fetch("a").data == b"2"
    assert store.fetch("a").etag == etag
    assert not proxy.pending


def test_every_answer_to_a_put_lost_is_still_recognised(store, proxy):
    proxy.plan("PUT", *[lose] * 5)  # as many tries as botocore makes
    etag = store.put("a", b"1", if_none_match=True)
    assert not proxy.pending
    assert store.head("a").etag == etag


def test_a_lost_answer_is_not_taken_for_ours_when_another_wrote(store, proxy):
    stale = store.put("a", b"1")
    store.put("a", b"theirs", if_match=stale)
    proxy.plan("PUT", lose)
    with pytest.raises(PreconditionFailedError):
        store.put("a", b"ours", if_match=stale)
    assert store.get("a") == b"theirs"


@pytest.mark.parametrize("fault", [lose, drop, SLOW_DOWN, CONFLICT])
def test_puts_and_deletes_are_tried_again(store, proxy, fault):
    proxy.plan("PUT", fault, fault)
    etag = store.put("a", b"1")
    assert not proxy.pending
    assert store.fetch("a").etag == etag
    proxy.plan("DELETE", fault, fault)
    store.delete("a")
    assert not proxy.pending
    assert not store.exists("a")


@pytest.mark.parametrize("condition", [{}, {"if_none_match": True}])
def test_a_conflict_without_end_is_an_error_and_no_failed_condition(store, proxy, condition):
    proxy.plan("PUT", *[CONFLICT] * 20)
    with pytest.raises(StoreError, match="OperationAborted") as caught:
        store.put("a", b"1", **condition)
    assert not isinstance(caught.value, PreconditionFailedError)
    assert len(proxy.requests) < 20


def test_a_server_that_is_down_for_good_is_an_error_that_names_the_key(store, proxy):
    proxy.plan("PUT", *[SLOW_DOWN] * 20)
    with pytest.raises(StoreError, match=r"cannot write 'a'.*SlowDown"):
        store.put("a", b"1")


@pytest.mark.parametrize("condition", [{}, {"if_none_match": True}])
@pytest.mark.parametrize("fault", [lose, drop, SLOW_DOWN])
def test_a_put_in_parts_survives_a_fault_at_each_step(store, proxy, fault, condition, monkeypatch):
    monkeypatch.setattr(s3, "MULTIPART_BYTES", 6 << 20)
    monkeypatch.setattr(s3, "MAX_SINGLE_PUT_BYTES", 6 << 20)
    monkeypatch.setattr(s3, "PART_BYTES", 5 << 20)
    value = os.urandom(7 << 20)
    proxy.plan("POST", fault)  # begins the upload
    proxy.plan("PUT", fault)  # a part
    etag = store.put("begun", value, **condition)
    proxy.plan("POST", lambda request, send: send(request), fault)  # completes it; the first passes
    again = store.put("completed", value, **condition)
    assert not proxy.pending
    assert (store.head("begun").etag, store.head("completed").etag) == (etag, again)
    assert store.get("completed", RangeRequest(6 << 20)) == value[6 << 20 :]


# Reading ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        *(cut, SLOW_DOWN),
        *(answer(301, "PermanentRedirect"), answer(403, "RequestTimeTooSkewed"), answer(404, "")),
    ],
)
def test_what_is_not_plain_is_asked_of_boto3(short_way, proxy, fault):
    proxy.plan("GET", fault)
    assert short_way.get("known") == b"0123456789"
    assert not proxy.pending
    assert [by_boto(request) for request in proxy.requests] == [False, True]
    buffer = bytearray(10)
    proxy.plan("GET", fault)
    assert short_way.get_into("known", buffer) == 10
    assert buffer == b"0123456789"
    proxy.clear()
    assert short_way.get("known", RangeRequest(2, 4)) == b"23"
    assert [by_boto(request) for request in proxy.requests] == [False]  # and learnt the way again


@pytest.mark.parametrize("fault", [drop, lose])
def test_a_read_without_an_answer_is_asked_again(short_way, proxy, fault):
    proxy.plan("GET", fault)
    assert short_way.get("known") == b"0123456789"
    assert len(proxy.requests) == 2  # the second on a new connection, or through boto3 where this was one
    proxy.plan("GET", fault, fault)
    assert short_way.get("known") == b"0123456789"
    assert by_boto(proxy.requests[-1])


@pytest.mark.parametrize("fault", [cut, drop, lose, SLOW_DOWN])
def test_reads_are_tried_again_through_boto3_too(store, proxy, fault):
    store.put("a", b"0123456789")
    proxy.plan("GET", fault, fault)
    assert store.get("a") == b"0123456789"
    assert not proxy.pending


def test_an_answer_cut_for_ever_is_an_error_and_no_shorter_value(short_way, proxy):
    proxy.plan("GET", *[cut] * 50)
    for read in (short_way.get, lambda key: short_way.get_into(key, bytearray(10)), short_way.fetch):
        with pytest.raises(StoreError, match="'known'"):
            read("known")


def test_connections_that_the_server_has_closed_are_made_anew(short_way, proxy):
    for _ in range(3):
        proxy.disconnect()
        assert short_way.get("known") == b"0123456789"
    assert not any(by_boto(request) for request in proxy.requests)


@pytest.mark.parametrize("code", ["NoSuchBucket", "XAdminUserNotFound"])  # the latter is versitygw's
def test_a_missing_key_and_its_bucket_or_user_are_told_apart_on_the_short_way(short_way, proxy, code):
    with pytest.raises(KeyNotFoundError):
        short_way.get("missing")
    assert short_way.get_into("missing", bytearray(1)) is None
    assert not any(by_boto(request) for request in proxy.requests)
    proxy.plan("GET", *[answer(404, code)] * 2)
    with pytest.raises(StoreError, match=code) as caught:
        short_way.get("known")
    assert not isinstance(caught.value, KeyNotFoundError)


def test_size_and_etag_take_the_short_way_and_survive_faults(short_way, proxy):
    etag = short_way.fetch("known").etag
    proxy.clear()
    assert short_way.head("known").size == 10
    assert not any(by_boto(request) for request in proxy.requests)
    for fault in (drop, lose, SLOW_DOWN):
        proxy.plan("HEAD", fault)
        assert (short_way.head("known").size, short_way.head("known").etag) == (10, etag)
    assert not proxy.pending


# Writing and listing on the short way ---------------------------------------------------------------------


def test_writes_deletes_and_listings_take_the_short_way(short_way, proxy, monkeypatch):
    monkeypatch.setattr(s3, "LIST_PAGE", 2)
    etag = short_way.put("a/ü b+c%20", b"1")
    etag = short_way.put("a/ü b+c%20", b"22", if_match=etag)
    short_way.put("a/new", b"3", if_none_match=True)
    short_way.put_many([("a/d/4", b"4"), ("a/d/5", b"5"), ("b", os.urandom(1 << 20))])
    sizes = {"a/ü b+c%20": 2, "a/new": 1, "a/d/4": 1, "a/d/5": 1, "b": 1 << 20, "known": 10}
    assert dict(short_way.list_sizes()) == sizes
    assert short_way.list_dir("a").prefixes == ("a/d/",)
    assert short_way.fetch("a/ü b+c%20").etag == etag
    short_way.delete("b")
    short_way.delete("b")
    short_way.delete_many(["a/new", "a/d/4", "never"])
    short_way.delete_prefix("a/d")
    assert sorted(short_way.list()) == ["a/ü b+c%20", "known"]
    assert not any(by_boto(request) for request in proxy.requests)


@pytest.mark.parametrize("condition", [{"if_none_match": True}, {}])
def test_the_first_write_shows_the_way(s3_bucket, proxy, monkeypatch, condition):
    monkeypatch.setattr(s3_client, "_clients", {})
    store = S3Store(s3_bucket, f"faults/{uuid.uuid4().hex}", S3Config(proxy.endpoint))
    for key in "ab":
        store.put(key, b"1", **condition)
    assert [by_boto(request) for request in proxy.requests] == [True, False]


@pytest.mark.parametrize("fault", [lose, drop, SLOW_DOWN, CONFLICT])
@pytest.mark.parametrize("times", [1, 2])
def test_puts_deletes_and_listings_survive_faults_on_the_short_way(short_way, proxy, fault, times):
    etag = short_way.put("a", b"1")
    for condition in ({}, {"if_match": etag}, {"if_none_match": True}):
        key = "new" if "if_none_match" in condition else "a"
        proxy.plan("PUT", *[fault] * times)
        assert short_way.put(key, b"2", **condition) == short_way.head(key).etag
        assert short_way.get(key) == b"2"
        assert not proxy.pending
        etag = short_way.put("a", b"1")
    if fault is not CONFLICT:  # which no listing meets
        proxy.plan("GET", *[fault] * times)
        assert sorted(short_way.list()) == ["a", "known", "new"]
        proxy.plan("POST", *[fault] * times)
        short_way.delete_many(["new", "never"])
        assert not proxy.pending
    proxy.plan("DELETE", *[fault] * times)
    short_way.delete("a")
    assert not short_way.exists("a")
    assert not proxy.pending


def test_conditions_refused_on_the_short_way_stay_refused(short_way, proxy):
    stale = short_way.put("a", b"1")
    short_way.put("a", b"2", if_match=stale)
    for condition in ({"if_match": stale}, {"if_none_match": True}):
        with pytest.raises(PreconditionFailedError, match="'a'"):
            short_way.put("a", b"3", **condition)
        proxy.plan("PUT", lose)
        with pytest.raises(PreconditionFailedError, match="'a'"):
            short_way.put("a", b"3", **condition)
    assert short_way.get("a") == b"2"


def test_a_listing_or_a_deletion_that_is_cut_off_is_asked_again(short_way, proxy):
    short_way.put_many([("a/b", b"1"), ("a/c", b"2")])
    proxy.plan("GET", cut)
    assert dict(short_way.list_sizes("a")) == {"a/b": 1, "a/c": 1}
    proxy.plan("POST", cut)
    short_way.delete_prefix("a")
    assert not proxy.pending
    assert list(short_way.list("a")) == []


def test_keys_that_xml_cannot_hold_are_deleted_all_the_same(short_way, proxy):
    short_way.put("a b\x7f", b"1")
    short_way.delete_prefix("")
    assert list(short_way.list()) == []


def test_over_tls_the_short_way_trusts_whom_boto3_trusts(s3_endpoint, s3_bucket, certificate, monkeypatch):
    cert, key = certificate
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    monkeypatch.setattr(s3_client, "_clients", {})
    with FaultyProxy(s3_endpoint, tls) as proxy:
        store = S3Store(s3_bucket, f"faults/{uuid.uuid4().hex}", S3Config(proxy.endpoint))
        with pytest.raises(StoreError, match="CERTIFICATE_VERIFY_FAILED"):
            store.get("a")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(cert))
        monkeypatch.setattr(s3_client, "_clients", {})
        value = os.urandom(300_000)
        store.put("a", value)
        assert store.get("a") == value
        proxy.clear()
        assert store.get("a") == value
        assert [by_boto(request) for request in proxy.requests] == [False]
