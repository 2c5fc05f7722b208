import pytest

from streamzarr.errors import ConfigError
from streamzarr.stores.key import check_key, check_prefix, is_key
from streamzarr.testing.stores import BAD_KEYS, GOOD_KEYS


@pytest.mark.parametrize("key", GOOD_KEYS, ids=ascii)
def test_good_keys(key):
    check_key(key)
    check_prefix(key)
    assert is_key(key)


@pytest.mark.parametrize("key", BAD_KEYS, ids=lambda key: ascii(key)[:20])
def test_bad_keys(key):
    with pytest.raises(ConfigError):
        check_key(key)
    assert not is_key(key)
    if key:
        with pytest.raises(ConfigError):
            check_prefix(key)


def test_a_long_key_is_shown_cut():
    with pytest.raises(ConfigError) as caught:
        check_key("a" * 100_000)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("key", [None, b"bytes", 3])
def test_what_is_no_text_is_a_type_error(key):
    with pytest.raises((TypeError, AttributeError)):
        check_key(key)
