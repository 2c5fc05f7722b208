"""From a ``kafka://`` URL to the configuration of each kind of client."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

from confluent_kafka import KafkaException

from streamzarr.errors import ConfigError
from streamzarr.queue.kafka.clients import AdminClient
from streamzarr.queue.outage import Contact
from streamzarr.redact import redacted
from streamzarr.runtime import SYSTEM, Runtime

GroupProtocol: TypeAlias = Literal["classic", "consumer"]

logger = logging.getLogger("streamzarr.queue.kafka")
logger.addHandler(logging.NullHandler())  # without it Python prints warnings to stderr when nobody listens
# A URL's options go to every kind of client; librdkafka remarks on those that are for another kind.
logger.addFilter(lambda record: "will be ignored by this" not in record.getMessage())

_NO_CONTACT: Final = frozenset({"FAIL", "REQTMOUT", "GETPID"})
"""What librdkafka logs, again and again, of a server that it cannot reach or that is still starting."""
_ANSWERED: Final = ": Broker: "
"""What it says of a server that has answered, as one that is not ready yet; else it is ``Local``."""
_ERRORS_OF_CONTACT: Final = (
    "brokers are down",
    "Connect to",
    "Disconnected",
    "Failed to resolve",
    "timed out",
)
"""The same, once more, as errors of the client as a whole."""


class ClientLog:
    """The logger of a librdkafka client: what it says of a server that is away is left to `contact`."""

    def __init__(self, contact: Contact) -> None:
        self._contact = contact

    def log(self, level: int, template: str, *args: object) -> None:
        """Take one line: its facility, the client's name, and the text."""
        facility, text = (str(args[0]), str(args[-1])) if args else ("", template)
        if facility == "GETPID" and _ANSWERED in text:
            logger.info(template, *args)
        elif facility in _NO_CONTACT or (
            facility == "ERROR" and any(words in text for words in _ERRORS_OF_CONTACT)
        ):
            self._contact.failed(text)
        else:
            logger.log(level, template, *args)


DEFAULT_REQUEST_TIMEOUT: Final = 10.0

OURS: Final = {
    "bootstrap.servers": "the host part of the URL says it",
    "group.id": "it is an argument of consumer()",
    "group.instance.id": "it is an argument of consumer(): the members share a URL",
    "enable.auto.commit": "offsets are committed by Consumer.commit alone",
    "enable.auto.offset.store": "offsets are committed by Consumer.commit alone",
    "auto.offset.reset": "a position that is out of range is an error, never reset in silence",
    "enable.idempotence": "without it a lost response writes a record twice",
    **dict.fromkeys(
        ("max.in.flight", "max.in.flight.requests.per.connection"),
        "a record that is refused at first could be lost to one behind it that is not",
    ),
    "acks": "a record is durable only when all in-sync replicas have it",
    "partitioner": "every broker has to choose the same partition for a key",
    "session.timeout.ms": "it is an argument of consumer()",
    "heartbeat.interval.ms": "it follows from the session timeout",
    "max.poll.interval.ms": "it is an argument of consumer()",
    "transactional.id": "it has to differ between producers, which share a URL",
    "delivery.report.only.error": "the producer depends on it",
    "enable.partition.eof": "the consumer depends on it",
}
"""Properties of librdkafka that a URL may not set, and why."""

# Reconnect at once and often: a restarted broker should be found in tenths of a second, not in ten seconds.
_COMMON: Final = {
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1000,
    "socket.connection.setup.timeout.ms": 10_000,
    "allow.auto.create.topics": False,
}

_PRODUCER: Final = {
    "enable.idempotence": True,
    "acks": "all",
    # Of a producer new to it, a broker takes the second batch though it has refused the first, as it does
    # while it makes the partition; librdkafka then holds the first for written (KAFKA-15591). One at a time,
    # none overtakes another; what waits meanwhile goes as a larger batch.
    "max.in.flight": 1,
    "partitioner": "consistent_random",  # CRC-32 of the key, as the embedded broker
    "compression.type": "lz4",
    "linger.ms": 5,
    "queue.buffering.max.messages": 100_000,
    "queue.buffering.max.kbytes": 64 << 10,  # `send` blocks above; a quarter of a second of a fast network
    "delivery.timeout.ms": 120_000,  # longer than a broker takes to restart; `flush` has its own timeout
    "delivery.report.only.error": True,
    # `send` has seen the topic: when the cluster does not know it after this, it was deleted.
    "topic.metadata.propagation.max.ms": 5000,
}

_CONSUMER: Final = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "check.crcs": True,  # damaged records are an error, never data
    "enable.partition.eof": True,  # tells the position behind the last record: of transaction markers, say
    # librdkafka's default of 1000 leaves a consumer that drains its queue idle for most of each second: 5x.
    "fetch.queue.backoff.ms": 2,
    "fetch.wait.max.ms": 50,
    # librdkafka's default of five minutes is how long partitions that are added would lie unread.
    "topic.metadata.refresh.interval.ms": 10_000,
    # Prefetch, per consumer. A slow pipeline must not hold much more than its demand in memory.
    "queued.max.messages.kbytes": 32 << 10,
}
_MAX_QUEUED_KBYTES: Final = 2_097_151
"""The most that librdkafka takes for ``queued.max.messages.kbytes``."""


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """Where a cluster is and how to talk to it.

    Examples
    --------
    >>> config = KafkaConfig.parse("kafka://a:9092,b:9092?security.protocol=SSL&request_timeout=5")
    >>> config.servers, config.request_timeout, config.options
    ('a:9092,b:9092', 5.0, {'security.protocol': 'SSL'})
    >>> str(config)
    'kafka://a:9092,b:9092'
    """

    servers: str
    request_timeout: float = DEFAULT_REQUEST_TIMEOUT
    """Seconds after which a request to the cluster that was not answered is an error."""
    group_protocol: GroupProtocol | None = None
    """How groups are coordinated; None: KIP-848 ("consumer") where the cluster has it, else "classic"."""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold passwords
    """Further properties of librdkafka, for every client."""
    contact: Contact = field(default_factory=lambda: Contact("kafka"), repr=False, compare=False)
    """What all clients of this configuration say together of a cluster that is away."""
    runtime: Runtime = field(default=SYSTEM, repr=False, compare=False)
    """Clocks, locks and ids of what is ours."""

    def __str__(self) -> str:
        return f"kafka://{self.servers}"  # without the options: they may hold passwords

    @classmethod
    def parse(cls, url: str, runtime: Runtime = SYSTEM) -> KafkaConfig:
        """Return the configuration that `url` asks for.

        Raises
        ------
        streamzarr.errors.ConfigError
            No host, a wrong port, an option that cannot be set by a URL.
        """
        parts = urlsplit(url)
        where = redacted(url).partition("?")[0]
        if "@" in where:
            raise ConfigError(
                f"{where}: user and password go into options, expected ?security.protocol=SASL_SSL"
                "&sasl.mechanism=...&sasl.username=...&sasl.password=..."
            )
        if parts.scheme != "kafka" or not parts.netloc or parts.path.strip("/") or parts.fragment:
            raise ConfigError(f"{where}: expected kafka://host:9092[,host:9092][?option=value]")
        servers = ",".join(_server(where, each) for each in unquote(parts.netloc).split(","))
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        timeout = _seconds(where, "request_timeout", options.pop("request_timeout", None))
        protocol = _group_protocol(where, options.pop("group.protocol", None))
        for name in options:
            if name in OURS:
                raise ConfigError(f"{where}: option {name!r} cannot be set: {OURS[name]}")
        contact = Contact(f"kafka://{servers}", runtime)
        config = cls(servers, timeout, protocol, options, contact, runtime)
        if options:
            config.check()
        return config

    @property
    def log(self) -> ClientLog:
        """The logger for a client."""
        return ClientLog(self.contact)

    def check(self) -> None:
        """Raise `ConfigError` if librdkafka does not know an option, or refuses its value."""
        try:
            AdminClient(dict(self.options), logger=self.log)
        except KafkaException as error:
            raise ConfigError(f"{self}: {error.args[0].str()}") from error

    def admin(self) -> dict[str, Any]:
        """Return the configuration of an `AdminClient`."""
        return self._client({})

    def producer(self) -> dict[str, Any]:
        """Return the configuration of a `Producer`."""
        return self._client(_PRODUCER)

    def reader(self, group: str, prefetch_bytes: int | None = None) -> dict[str, Any]:
        """Return the configuration of a `Consumer` that is given its partitions; `group` is a formality."""
        return self._client({**_CONSUMER, **self._prefetch(prefetch_bytes), "group.id": group})

    def consumer(
        self,
        group: str,
        protocol: GroupProtocol,
        session_timeout: float,
        max_poll_interval: float,
        prefetch_bytes: int | None = None,
        instance: str | None = None,
    ) -> dict[str, Any]:
        """Return the configuration of a member of `group`; times in seconds."""
        session = round(1000 * min(session_timeout, max_poll_interval))
        member: dict[str, Any] = {
            "group.id": group,
            "group.protocol": protocol,
            "max.poll.interval.ms": round(1000 * max_poll_interval),
        }
        if instance is not None:
            member["group.instance.id"] = instance
        if protocol == "classic":  # with "consumer" the broker decides these
            member["partition.assignment.strategy"] = "cooperative-sticky"
            member["session.timeout.ms"] = session
            # Members learn of a rebalance by their heartbeats, and a cooperative one takes two rounds.
            member["heartbeat.interval.ms"] = max(100, min(1000, session // 5))
        return self._client({**_CONSUMER, **self._prefetch(prefetch_bytes), **member})

    def share(self, group: str) -> dict[str, Any]:
        """Return the configuration of a member of the share group `group`."""
        settings = self._client({"group.id": group, "share.acknowledgement.mode": "explicit"})
        del settings["allow.auto.create.topics"]  # it takes no such setting, and creates none
        return settings

    def _prefetch(self, nbytes: int | None) -> dict[str, Any]:
        """Return the properties by which librdkafka fetches no more than `nbytes` ahead, and one fetch."""
        if nbytes is None:
            return {}
        if nbytes < 1:
            raise ConfigError(f"{self}: prefetch_bytes={nbytes}, expected 1 or more")
        fetch = max(1000, nbytes)  # a record that is larger is fetched all the same
        return {
            "queued.max.messages.kbytes": min(max(1, nbytes >> 10), _MAX_QUEUED_KBYTES),
            "fetch.max.bytes": min(fetch, 50 << 20),  # librdkafka's own bounds, where they are lower
            "message.max.bytes": min(fetch, 1_000_000),  # it refuses smaller fetches than this
            "max.partition.fetch.bytes": min(fetch, 1 << 20),
        }

    def _client(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        return {**_COMMON, **defaults, **self.options, "bootstrap.servers": self.servers}


def _server(where: str, text: str) -> str:
    host, colon, port = text.rpartition(":")
    if text.endswith("]") or not colon:  # an IPv6 address, or a name, without a port
        host, port = text, "9092"
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"{where}: server {text!r}, expected host:port")
    return f"{host}:{port}"


def _seconds(where: str, name: str, text: str | None) -> float:
    if text is None:
        return DEFAULT_REQUEST_TIMEOUT
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise ConfigError(f"{where}: {name}={text!r}, expected seconds above 0")
    return seconds


def _group_protocol(where: str, text: str | None) -> GroupProtocol | None:
    if text is None:
        return None
    for protocol in get_args(GroupProtocol):
        if text == protocol:
            return text  # type: ignore[return-value]
    raise ConfigError(f"{where}: group.protocol={text!r}, expected {' or '.join(get_args(GroupProtocol))}")
