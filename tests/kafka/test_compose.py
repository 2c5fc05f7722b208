"""The compose file for users: well-formed, true to the command line, and a broker that starts."""

import re
import socket
from pathlib import Path

import click
import pytest
import yaml

from streamzarr.cli.main import cli
from streamzarr.queue import NewRecord, open_broker
from streamzarr.testing.kafka import container

FILE = Path(__file__).parents[2] / "compose" / "docker-compose.yml"


@pytest.fixture(scope="module")
def service():
    return yaml.safe_load(FILE.read_text())["services"]["kafka"]


def test_it_runs_the_kafka_that_is_tested(service):
    assert service["image"] == container.IMAGE


def test_every_listener_has_an_address_and_a_protocol(service):
    environment = service["environment"]
    listeners = {entry.split("://")[0] for entry in environment["KAFKA_LISTENERS"].split(",")}
    advertised = {entry.split("://")[0] for entry in environment["KAFKA_ADVERTISED_LISTENERS"].split(",")}
    protocols = dict(
        entry.split(":") for entry in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    )
    assert protocols.keys() == listeners == advertised | {environment["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    assert environment["KAFKA_INTER_BROKER_LISTENER_NAME"] in advertised
    assert all(isinstance(value, str) for value in environment.values()), "YAML would rewrite true and 1.0"


def test_its_data_survive_the_container(service):
    [volume] = service["volumes"]
    name, folder = volume.split(":")
    assert folder == service["environment"]["KAFKA_LOG_DIRS"]
    assert name in yaml.safe_load(FILE.read_text())["volumes"]


def test_its_header_names_commands_that_exist():
    lines = re.findall(r"^#   streamzarr (.+)$", FILE.read_text(), flags=re.MULTILINE)
    assert lines
    for line in lines:
        words = line.split()
        command: click.Command = cli
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


@pytest.mark.kafka
def test_its_settings_start_a_broker(service, request):
    if missing := container.missing():
        request.getfixturevalue("kafka_broker_url")  # says what to install, and in CI fails
        pytest.skip(f"the compose file needs {missing}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    environment = service["environment"] | {
        "KAFKA_ADVERTISED_LISTENERS": f"HOST://{address},NETWORK://localhost:19092"
    }
    broker = container.DockerContainer(service["image"], labels=container.LABELS).with_envs(**environment)
    broker.with_bind_ports(9092, port)
    with broker:
        started = container.LogMessageWaitStrategy("Kafka Server started")
        started.with_startup_timeout(container.START_SECONDS).wait_until_ready(broker)
        command = service["healthcheck"]["test"]
        assert command[0] == "CMD"
        assert broker.exec(command[1:]).exit_code == 0
        with open_broker(f"kafka://{address}") as queue:
            queue.create_topic("tasks", 2)
            with queue.producer() as producer:
                producer.send("tasks", [NewRecord(b"x")])
            with queue.consumer(["tasks"], "workers", session_timeout=10.0) as consumer:
                assert [record.value for record in consumer.poll(1, 30.0)] == [b"x"]
