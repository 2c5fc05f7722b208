"""S3 servers over the wire: which ones the tests run on.

Always ``versitygw`` and ``moto``; also those that ``STREAMZARR_TEST_S3_SERVERS`` names: ``minio,rgw``.
"""

import contextlib
import os
import uuid

import pytest

from streamzarr.stores.s3 import S3Store
from streamzarr.stores.s3_client import S3Config, client_for
from tests.conftest import IN_CI, S3_NEEDS
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
            message = f"{S3_NEEDS} {missing}"
            if IN_CI:
                pytest.fail(message, pytrace=False)
            pytest.skip(message)
        yield endpoint


@pytest.fixture(scope="session")
def s3_keys():
    """The keys of all servers, where boto3 looks for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_ACCESS_KEY_ID", s3_servers.ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", s3_servers.SECRET_KEY)
        yield


def new_bucket(endpoint):
    """Make a bucket at `endpoint` and return its name."""
    name = f"streamzarr-{uuid.uuid4().hex[:12]}"
    client_for(S3Config(endpoint)).boto.create_bucket(Bucket=name)
    return name


def new_store(endpoint, bucket):
    """Return a store below a prefix of its own."""
    return S3Store(bucket, f"test/{uuid.uuid4().hex}", S3Config(endpoint))


@pytest.fixture(scope="session", params=SERVERS)
def s3_endpoint(request, s3_keys):
    """Each server in turn."""
    with server(request.param) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def s3_bucket(s3_endpoint):
    return new_bucket(s3_endpoint)


@pytest.fixture
def s3_store(s3_endpoint, s3_bucket):
    return new_store(s3_endpoint, s3_bucket)


@pytest.fixture(scope="session")
def moto_bucket(s3_keys):
    with server("moto") as endpoint:
        yield endpoint, new_bucket(endpoint)


@pytest.fixture
def moto_store(moto_bucket):
    """A store on the quick server alone, for what does not depend on the server."""
    return new_store(*moto_bucket)
