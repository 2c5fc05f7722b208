"""When a command that is shown names the broker, and when it must not."""

import pytest

from streamzarr.hints import DEFAULT_BROKER, hint

SECRET = "kafka://lab:9092?sasl.username=me&sasl.password=hunter2"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv("STREAMZARR_BROKER", raising=False)
    monkeypatch.delenv("STREAMZARR_PREFIX", raising=False)
    return monkeypatch


def test_what_is_usual_is_left_out(environment):
    assert hint("job", "wait", broker=DEFAULT_BROKER, prefix="streamzarr") == "`streamzarr job wait`"
    environment.setenv("STREAMZARR_BROKER", "kafka://lab:9092")
    environment.setenv("STREAMZARR_PREFIX", "maps")
    assert hint("job", "wait", broker="kafka://lab:9092", prefix="maps") == "`streamzarr job wait`"


def test_a_default_is_said_where_the_environment_says_something_else(environment):
    environment.setenv("STREAMZARR_BROKER", "kafka://lab:9092")
    environment.setenv("STREAMZARR_PREFIX", "maps")
    assert hint("job", "wait", broker=DEFAULT_BROKER, prefix="streamzarr") == (
        "`streamzarr job wait --broker sqlite:///streamzarr.db --prefix streamzarr`"
    )


def test_an_empty_variable_says_nothing(environment):
    environment.setenv("STREAMZARR_BROKER", "")
    assert hint("job", "wait", broker=DEFAULT_BROKER) == "`streamzarr job wait`"


def test_words_are_quoted_for_a_shell():
    assert hint("info", "a b.zarr") == "`streamzarr info 'a b.zarr'`"
    assert "'kafka://lab:9092?a=1&b=2'" in hint("job", "wait", broker="kafka://lab:9092?a=1&b=2")


def test_a_secret_is_not_shown_but_where_to_put_it(environment):
    for _ in range(2):
        shown = hint("job", "resume", "01M7", broker=SECRET, prefix="maps")
        assert shown == (
            "`streamzarr job resume 01M7 --prefix maps` with the broker's URL in STREAMZARR_BROKER"
        )
        environment.setenv("STREAMZARR_BROKER", SECRET)
