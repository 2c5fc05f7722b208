"""What the probe says of real servers."""

import pytest

from streamzarr.errors import UnsupportedError
from streamzarr.stores import open_store, probe_conditional_put
from tests.integration.stores.conftest import new_bucket, server


def test_the_probe_passes_servers_that_keep_conditions(s3_store):
    probe_conditional_put(s3_store)
    assert list(s3_store.list()) == []


def test_the_probe_exposes_a_real_server_that_ignores_conditions(s3_keys):
    with server("rclone") as endpoint:
        store = open_store(f"s3://{new_bucket(endpoint)}/a?endpoint_url={endpoint}")
        store.put("beside", b"1")
        assert store.put("beside", b"2", if_none_match=True)  # the lie
        with pytest.raises(UnsupportedError, match="if_none_match on a present key was accepted"):
            probe_conditional_put(store)
        assert list(store.list()) == ["beside"]
