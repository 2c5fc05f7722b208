"""A real Apache Kafka broker as a process: KRaft, one node, no Docker.

Needs Java 17 and Maven; the jars are fetched once into ``~/.cache/streamzarr`` (44 MB).
``python -m tests.kafka.process`` runs one by hand until Ctrl-C.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

from confluent_kafka import KafkaException

from streamzarr.queue.kafka.clients import AdminClient
from streamzarr.testing.kafka.settings import SETTINGS, properties

VERSION = "4.3.1"
START_SECONDS = 180.0
STOP_SECONDS = 15.0
HERE = Path(__file__).parent

# Small heap, quick start: half of the default start time is the C2 compiler and G1 setting themselves up.
JAVA = [
    "java",
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
]

MAVEN = ["mvn", "-B", "-ntp", "-q", "dependency:copy-dependencies", "-DincludeScope=runtime"]


def missing() -> str | None:
    """Return what has to be installed before a broker can run here, or None."""
    wanted = [] if shutil.which("java") else ["Java 17"]
    if not _libs().is_dir() and not shutil.which("mvn"):
        wanted.append("Maven")
    return " and ".join(wanted) or None


def _libs() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "streamzarr" / f"kafka-{VERSION}"


def fetch_jars() -> Path:
    """Return the folder with the broker's jars; the first call on a machine fetches them by Maven."""
    libs = _libs()
    if libs.is_dir():
        return libs
    libs.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=libs.parent) as temporary:
        subprocess.run(
            [
                *MAVEN,
                "-f",
                HERE / "pom.xml",
                "dependency:copy-dependencies",
                f"-DoutputDirectory={temporary}/libs",
            ],
            check=True,
            stdin=subprocess.DEVNULL,
        )
        with contextlib.suppress(OSError):  # another process was faster: its folder is as good
            os.rename(f"{temporary}/libs", libs)
    return libs


@dataclass(frozen=True)
class Lock:
    """What a broker asks of its clients: TLS, and a name with a password."""

    certificate: Path
    """Of ``localhost``, its own authority."""
    key: Path
    user: str
    password: str

    @property
    def settings(self) -> dict[str, str]:
        """Settings of the broker; makes the file that it wants, of key and certificate, beside the key."""
        both = self.key.with_name("both.pem")
        both.write_text(self.key.read_text() + self.certificate.read_text())
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        return {
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{login} user_{self.user}="{self.password}";',
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(both),
        }

    @property
    def client(self) -> dict[str, str]:
        """Options of a client that is let in."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": self.user,
            "sasl.password": self.password,
            "ssl.ca.location": str(self.certificate),
            "broker.address.family": "v4",
        }


class KafkaProcess:
    """One broker on 127.0.0.1. Its ports and data stay the same over ``stop`` and ``start``.

    Examples
    --------
    >>> with KafkaProcess() as kafka:  # doctest: +SKIP
    ...     kafka.bootstrap
    '127.0.0.1:34567'
    """

    def __init__(self, lock: Lock | None = None, advertised: str | None = None) -> None:
        self._lock = lock
        self._folder = Path(tempfile.mkdtemp(prefix="streamzarr-kafka-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._log = self._folder / "server.log"
        self._libs = fetch_jars()
        port, inner, controller = _free_ports(3)
        host, protocol = ("127.0.0.1", "PLAINTEXT") if lock is None else ("localhost", "SASL_SSL")
        self.bootstrap = f"{host}:{port}"
        advertised = advertised or self.bootstrap  # where clients are told to go
        config = self._folder / "server.properties"
        config.write_text(
            properties(
                SETTINGS
                | {
                    "controller.quorum.voters": f"1@127.0.0.1:{controller}",
                    "listeners": (
                        f"{protocol}://127.0.0.1:{port},BROKER://127.0.0.1:{inner},"
                        f"CONTROLLER://127.0.0.1:{controller}"
                    ),
                    "advertised.listeners": f"{protocol}://{advertised},BROKER://127.0.0.1:{inner}",
                    "listener.security.protocol.map": (
                        f"{protocol}:{protocol},BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT"
                    ),
                    "inter.broker.listener.name": "BROKER",
                    "log.dirs": str(self._folder / "data"),
                }
                | ({} if lock is None else lock.settings)
            )
        )
        self._config = config

    @property
    def url(self) -> str:
        options = "" if self._lock is None else f"?{urlencode(self._lock.client)}"
        return f"kafka://{self.bootstrap}{options}"

    def segment(self, topic: str, partition: int) -> Path:
        """Return the file with a partition's first records."""
        return self._folder / "data" / f"{topic}-{partition}" / f"{0:020d}.log"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the broker is not running"
        return self._process.pid

    def start(self) -> Self:
        """Start the broker (formatting its data folder the first time); return when it answers.

        Nothing is done if it runs.
        """
        if self._process is not None and self._process.poll() is None:
            return self
        if not (self._folder / "data").is_dir():
            # One in 64 would begin with "-", which the tool takes for an option.
            cluster = base64.urlsafe_b64encode(bytes(1) + uuid.uuid4().bytes[1:]).decode().rstrip("=")
            self._run("kafka.tools.StorageTool", "format", "-t", cluster, "-c", self._config)
        log4j = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*JAVA, log4j, "-cp", f"{self._libs}/*", "kafka.Kafka", self._config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        # Ends the broker when pytest is killed, which closes the pipe. (PR_SET_PDEATHSIG would do it when the
        # thread ends that started the broker.)
        guard = ["sh", "-c", 'cat >/dev/null; kill -9 "$0"', str(self._process.pid)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE)
        self.wait_until_it_answers()
        return self

    def stop(self) -> None:
        """Shut the broker down in order, keeping ports and data."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the broker as a power cut would, keeping ports and data."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop answering without closing a connection (SIGSTOP); return when it has."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)  # on a busy machine its threads answer until then

    def thaw(self) -> None:
        """Undo :meth:`freeze`."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """End the broker and delete its folder."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, *command: object) -> None:
        done = subprocess.run(
            [*JAVA, "-cp", f"{self._libs}/*", *map(str, command)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        guard, self._guard = self._guard, None
        if process is None:
            return
        if guard is not None:
            guard.kill()
            guard.communicate()
        process.send_signal(signal.SIGCONT)  # it may be frozen
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wait_until_it_answers(self) -> None:
        """Return when the broker is part of its cluster and answers, as it may not yet behind a thaw."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        client = AdminClient(
            {
                "bootstrap.servers": self.bootstrap,
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 100,
                "log_level": 0,
                **({} if self._lock is None else self._lock.client),
            }
        )
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                found = client.list_topics(timeout=1)  # waits inside for the connection
            except KafkaException:
                continue
            if found.brokers and found.controller_id >= 0:
                return
        tail = self._log.read_text(errors="replace")[-2000:]
        self.close()
        raise RuntimeError(
            f"the Kafka process did not answer within {START_SECONDS:.0f} s; its log ends:\n{tail}"
        )


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


if __name__ == "__main__":
    with KafkaProcess() as broker:
        print(broker.url, flush=True)  # noqa: T201 - the output of the program
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
