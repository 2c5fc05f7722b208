"""Where tests find a real Apache Kafka (design §14)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import hypothesis
import pytest

if TYPE_CHECKING:
    from streamzarr.testing.kafka.container import KafkaContainer
    from tests.kafka.process import KafkaProcess
    from tests.support.kafka_proxy import KafkaProxy

T = TypeVar("T")

# No test is timed: machines are shared. Examples that take long are found by pytest's own timeout.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

IN_CI = os.environ.get("CI", "").lower() in ("1", "true")
NEEDS = "tests with a real Kafka need"
S3_NEEDS = "tests on S3 servers need"


@pytest.fixture(scope="session")
def kafka_broker_url() -> Iterator[str]:
    """The URL of a broker for the whole session: the one that is given, else in Docker, else a process.

    In CI it has to be the one in Docker; the process is tested through `kafka_process`, so both are.
    """
    if given := os.environ.get("STREAMZARR_TEST_KAFKA"):
        yield given if "://" in given else f"kafka://{given}"
        return
    with contextlib.ExitStack() as stack:
        ways: list[Callable[[], KafkaContainer | KafkaProcess]] = [_container]
        if not IN_CI:
            ways.append(_process)
        yield stack.enter_context(_first_of(ways)).url


@pytest.fixture(scope="session")
def kafka_process() -> Iterator[KafkaProcess]:
    """A broker that runs as a process, for tests that stop and start it; they leave it running."""
    with _first_of([_process]) as process:
        yield process


@pytest.fixture
def proxied_kafka() -> Iterator[tuple[KafkaProcess, KafkaProxy]]:
    """A broker of the test's own that clients reach through a proxy only."""
    from tests.support.kafka_proxy import KafkaProxy

    with KafkaProxy() as proxy, _first_of([lambda: _process(proxy)]) as process:
        yield process, proxy


def _first_of(ways: list[Callable[[], T]]) -> T:
    """Return the first broker that can run here; skip when there is none, but in CI fail."""
    reasons = []
    for way in ways:
        try:
            return way()
        except _NotHereError as reason:
            reasons.append(str(reason))
    message = f"{NEEDS} {' or '.join(reasons)}, or STREAMZARR_TEST_KAFKA=host:port"
    if IN_CI:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Say once, not once a test, what is missing: pytest joins skips that have one place."""
    report = yield
    if report.skipped and any(needs in str(report.longrepr) for needs in (NEEDS, S3_NEEDS)):
        report.longrepr = (__file__, 1, report.longrepr[2])
    return report


class _NotHereError(Exception):
    """What has to be installed."""


def _container() -> KafkaContainer:
    try:
        from testcontainers.core.config import testcontainers_config

        from streamzarr.testing.kafka import container
    except ImportError as error:
        raise _NotHereError("Docker with testcontainers") from error
    # Ryuk removes containers of a killed run; its image is one more to fetch, and .ci/run removes them too.
    testcontainers_config.ryuk_disabled = True
    if missing := container.missing():
        raise _NotHereError(missing)
    return container.KafkaContainer()


def _process(proxy: KafkaProxy | None = None) -> KafkaProcess:
    from tests.kafka import process

    if missing := process.missing():
        raise _NotHereError(missing)
    if proxy is None:
        return process.KafkaProcess()
    made = process.KafkaProcess(advertised=proxy.address)
    host, _, port = made.bootstrap.partition(":")
    proxy.upstream = host, int(port)
    return made
