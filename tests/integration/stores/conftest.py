"""An S3 server for the tests: moto's, as a process, or any other that ``STREAMZARR_TEST_S3`` names."""

import os
import subprocess
import sys
import uuid

import pytest

from streamzarr.stores.s3 import S3Store
from streamzarr.stores.s3_client import S3Config, client_for

MOTO = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
server.start()
print("http://%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="session")
def s3_endpoint():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        given = os.environ.get("STREAMZARR_TEST_S3")
        if given:
            yield given
            return
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testtest")
        with subprocess.Popen(
            [sys.executable, "-c", MOTO],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as server:
            try:
                yield server.stdout.readline().decode().strip()
            finally:
                server.kill()


@pytest.fixture(scope="session")
def s3_bucket(s3_endpoint):
    name = f"streamzarr-{uuid.uuid4().hex[:12]}"
    client_for(S3Config(s3_endpoint)).boto.create_bucket(Bucket=name)
    return name


@pytest.fixture
def s3_store(s3_endpoint, s3_bucket):
    return S3Store(s3_bucket, f"test/{uuid.uuid4().hex}", S3Config(s3_endpoint))
