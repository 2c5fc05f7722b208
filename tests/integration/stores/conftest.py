"""S3 servers over the wire: which ones the tests run on.

Always ``versitygw`` and ``moto``; also those that ``STREAMZARR_TEST_S3_SERVERS`` names: ``minio,rgw``.
"""

import contextlib
import os
import uuid

import pytest

from streamzarr.stores.s3 import S3Store
from streamzarr.stores.s3_client import S3Config, client_for
from tests.conftest import IN_CI
from tests.support import s3_servers

ALWAYS = ["versitygw", "moto"]
SERVERS = ALWAYS + [
    name
    for name in os.environ.get("STREAMZARR_TEST_S3_SERVERS", "").split(",")
    if name in s3_servers.SERVERS and name not in ALWAYS
]


@contextlib.contextmanager
def server(name):
    """Run a server, or skip where it is not installed; in CI that is a failure."""
    with contextlib.ExitStack() as stack:
        try:
            endpoint = stack.enter_context(s3_servers.running(name))
        except s3_servers.NotInstalledError as missing:
            message = f"tests on S3 servers need {missing}"
            if IN_CI:
                pytest.fail(message, pytrace=False)
            pytest.skip(message)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_ACCESS_KEY_ID", s3_servers.ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", s3_servers.SECRET_KEY)
        yield endpoint


def new_bucket(endpoint):
    """Make a bucket at `endpoint` and return its name."""
    name = f"streamzarr-{uuid.uuid4().hex[:12]}"
    client_for(S3Config(endpoint)).boto.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session", params=SERVERS)
def s3_server(request):
    """Name and endpoint of a running server."""
    with server(request.param) as endpoint:
        yield request.param, endpoint


@pytest.fixture(scope="session")
def s3_endpoint(s3_server):
    return s3_server[1]


@pytest.fixture(scope="session")
def s3_bucket(s3_endpoint):
    return new_bucket(s3_endpoint)


@pytest.fixture
def s3_store(s3_endpoint, s3_bucket):
    return S3Store(s3_bucket, f"test/{uuid.uuid4().hex}", S3Config(s3_endpoint))
