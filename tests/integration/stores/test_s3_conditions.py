"""Conditional puts to S3, and what servers say when they cannot tell."""

import multiprocessing

import pytest

from streamzarr.errors import PreconditionFailedError, StoreError, UnsupportedError
from streamzarr.stores import probe_conditional_put, s3_client, s3_retry
from tests.support.s3_hooks import DENIED, INCOMPLETE, Answers, answer, hooked


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
