"""A real Apache Kafka broker in a container, by the official image's name: KRaft, one node.

testcontainers' own ``KafkaContainer`` fits Confluent's images only.
"""

from __future__ import annotations

import io
import os
import tarfile
from typing import Self

import docker
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from streamzarr.testing.kafka.settings import SETTINGS, environment

IMAGE = "apache/kafka:4.3.1"
PORT = 9092
START_SECONDS = 60
SCRIPT = "/tmp/streamzarr-start.sh"  # noqa: S108 - in the container

LABELS = {"streamzarr.test-run": os.environ.get("STREAMZARR_TEST_RUN", "")}
"""By which a program around the tests finds what a killed run has left behind."""


def missing() -> str | None:
    """Return what has to be installed before a container can be started here, or None."""
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException:
        return "a running Docker"
    try:
        client.images.get(IMAGE)
    except docker.errors.ImageNotFound:
        try:
            client.images.pull(IMAGE)
        except docker.errors.DockerException:
            return f"Docker with the image {IMAGE}"
    return None


class KafkaContainer(DockerContainer):
    """One broker, whose port is published on the host.

    Examples
    --------
    >>> with KafkaContainer() as kafka:  # doctest: +SKIP
    ...     kafka.url
    'kafka://localhost:32768'
    """

    def __init__(self) -> None:
        super().__init__(IMAGE, labels=LABELS)
        self.with_exposed_ports(PORT)
        self.with_envs(
            CLUSTER_ID="4L6g3nShT-eMCtK--X86sw",
            **environment(
                SETTINGS
                | {
                    "controller.quorum.voters": "1@localhost:19094",
                    "listeners": f"PLAINTEXT://:{PORT},BROKER://:19093,CONTROLLER://:19094",
                    "listener.security.protocol.map": (
                        "BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
                    ),
                    "inter.broker.listener.name": "BROKER",
                }
            ),
        )
        # A broker advertises the address that clients reach it by, which is known once Docker has published
        # the port: park the container until the script is there.
        self.with_command(["sh", "-c", f"while [ ! -f {SCRIPT} ]; do sleep 0.05; done; exec bash {SCRIPT}"])

    @property
    def bootstrap(self) -> str:
        """Host and port."""
        return f"{self.get_container_host_ip()}:{self.get_exposed_port(PORT)}"

    @property
    def url(self) -> str:
        """URL for :func:`streamzarr.queue.open_broker`."""
        return f"kafka://{self.bootstrap}"

    def start(self) -> Self:
        """Start it; return when it answers."""
        super().start()
        try:
            self._upload(
                "export KAFKA_ADVERTISED_LISTENERS="
                f"PLAINTEXT://{self.bootstrap},BROKER://$(hostname -i | cut -d' ' -f1):19093\n"
                "exec /etc/kafka/docker/run\n"
            )
            started = LogMessageWaitStrategy("Kafka Server started")
            started.with_startup_timeout(START_SECONDS).wait_until_ready(self)
        except BaseException:
            self.stop()
            raise
        return self

    def _upload(self, script: str) -> None:
        content = script.encode()
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            info = tarfile.TarInfo(SCRIPT.lstrip("/"))
            info.size = len(content)
            info.mode = 0o755
            tar.addfile(info, io.BytesIO(content))
        assert self.get_wrapped_container().put_archive("/", archive.getvalue())
