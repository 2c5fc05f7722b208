"""From a URL to a broker."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from streamzarr.errors import ConfigError
from streamzarr.queue.base import Broker
from streamzarr.redact import redacted
from streamzarr.runtime import SYSTEM, Runtime

__all__ = ["open_broker", "redacted"]


def open_broker(url: str, *, runtime: Runtime = SYSTEM) -> Broker:
    """Open the broker that `url` names.

    Parameters
    ----------
    url
        ``sqlite:///relative.db`` or ``sqlite:////absolute.db``: the embedded broker, made when it is not
        there; ``kafka://host:9092[,host:9092]?option=value``: Apache Kafka.
    runtime
        Clocks, threads and ids of the broker and of whoever works with it.

    Raises
    ------
    streamzarr.errors.ConfigError
        The URL cannot be used, or its broker needs a package that is not installed.
    streamzarr.errors.QueueError
        The broker cannot be reached, at the latest when it is first used.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, open_broker(f"sqlite:///{folder}/queue.db") as broker:
    ...     broker.create_topic("tasks", partitions=4)
    ...     broker.topics()
    ['tasks']
    """
    try:
        urlsplit(url)
    except ValueError:  # its text may quote the password
        raise ConfigError(
            f"broker {redacted(url)!r} is no URL, expected sqlite:///path or kafka://host:port"
        ) from None
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme == "sqlite":
        from streamzarr.queue.embedded.broker import EmbeddedBroker

        return EmbeddedBroker(url, runtime)
    if scheme == "kafka":
        try:
            import confluent_kafka  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                f"{redacted(url)}: install Kafka's client: pip install 'streamzarr[kafka]'"
            ) from error
        from streamzarr.queue.kafka import KafkaBroker

        return KafkaBroker(url, runtime)
    raise ConfigError(
        f"broker {redacted(url)!r}: unknown scheme {scheme!r}, expected sqlite:///path or kafka://host:port"
    )


def local_file(url: str) -> Path | None:
    """Return the file that holds the broker of `url`, there or not; None where a server does.

    >>> local_file("sqlite:///queue%201.db?busy_timeout=5"), local_file("kafka://host:9092")
    (PosixPath('queue 1.db'), None)
    """
    if not url.startswith("sqlite:///"):
        return None
    return Path(unquote(url.removeprefix("sqlite:///").partition("?")[0]))
