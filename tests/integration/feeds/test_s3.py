"""A feed into a bucket that goes away, and with a password that is not taken any more."""

import pytest

from streamzarr.errors import FencedError
from streamzarr.feeds import check_feed
from streamzarr.stores.s3_client import S3Config, client_for
from tests.integration.stores.conftest import new_bucket, s3_keys, server  # noqa: F401
from tests.support.feeds import FeedBench, until
from tests.support.s3_proxy import FaultyProxy, answer


@pytest.fixture
def endpoint(s3_keys):  # noqa: F811
    with server("versitygw") as found:
        yield found


def bench_in(bucket, endpoint, tmp_path):
    place = f"s3://{bucket}/feed.zarr?endpoint_url={endpoint}"
    url = f"sqlite:///{tmp_path}/queue.db"
    return FeedBench(url, tmp_path, partitions=1, session_timeout=1.0, place=place)


def checked(bench, count):
    [found] = check_feed(bench.target, bench.broker)
    assert found.ok, found
    assert (found.records, found.verified) == (count, count)


def test_credentials_that_have_expired_are_waited_for(endpoint, tmp_path, caplog):
    with FaultyProxy(endpoint) as proxy:
        bench = bench_in(new_bucket(endpoint), proxy.endpoint, tmp_path)
        feed = bench.feed()
        with bench.running(feed) as ended:
            bench.ticks(100)
            until(lambda: bench.caught_up(feed) or ended, "the first records")
            for method in ("PUT", "GET", "HEAD"):
                proxy.plan(method, *[answer(403, "ExpiredToken")] * 10_000)
            bench.ticks(100, start=100)
            until(lambda: "ExpiredToken" in caplog.text or ended, "a refusal")
            assert not ended, ended
            proxy.clear()
            until(lambda: bench.caught_up(feed) or ended, "the end of the topic")
        assert bench.report(ended).ok == 200
        checked(bench, 200)


def test_a_bucket_that_is_gone_stops_the_feed_and_its_records_come_again(endpoint, tmp_path, caplog):
    bucket = new_bucket(endpoint)
    bench = bench_in(bucket, endpoint, tmp_path)
    boto = client_for(S3Config(endpoint)).boto
    bench.ticks(100)
    with bench.running() as ended:
        until(lambda: bench.caught_up(bench.feed()) or ended, "the first records")
        for page in boto.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for each in page.get("Contents", ()):
                boto.delete_object(Bucket=bucket, Key=each["Key"])
        boto.delete_bucket(Bucket=bucket)
        bench.ticks(100, start=100)
        until(lambda: "NoSuchBucket" in caplog.text or ended, "a refusal")
        boto.create_bucket(Bucket=bucket)  # nothing of what was there is in it
        until(lambda: ended, "the end of the feed")
    assert isinstance(ended[0], FencedError), ended
    assert "gone" in str(ended[0])
    bench.ingest()
    checked(bench, 200)
