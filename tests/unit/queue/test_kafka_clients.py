"""All of librdkafka's clients are those that forked children keep."""

import ast
import gc
import os
import signal
import time
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from streamzarr.queue.kafka import clients

ROOT = Path(__file__).parents[3]
KEPT = ("AdminClient", "Consumer", "Member", "Producer", "ShareConsumer", "Source")


def others_in(tree):
    """Lines that name a class of clients of confluent_kafka itself."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.startswith("confluent_kafka"):
                if not {alias.name for alias in names}.isdisjoint(KEPT):
                    yield node.lineno
            case ast.Attribute(value=value, attr=name) if name in KEPT:
                if ast.unparse(value).startswith("confluent_kafka"):
                    yield node.lineno


@pytest.mark.parametrize("folder", ["streamzarr", "workers", "tests"])
def test_nobody_makes_a_client_that_a_forked_child_would_destroy(folder):
    """In tests neither: their process forks as well."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != Path(clients.__file__)
        for line in others_in(ast.parse(path.read_text()))
    ]
    assert wrong == [], "take it from streamzarr.queue.kafka.clients"


@pytest.mark.parametrize("name", KEPT)
def test_a_client_is_known_as_long_as_it_lives(name):
    settings = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    if name not in ("AdminClient", "Producer"):
        settings["group.id"] = "g"
    client = getattr(clients, name)(settings)
    key = id(client)
    assert clients._living[key] is client
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        del client
        os._exit(0 if key in clients._living else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert clients._held == []
    del client
    assert key not in clients._living


def test_a_member_that_could_not_be_made_is_thrown_away_in_silence(recwarn):
    with pytest.raises(KafkaException):
        clients.Member({"group.id": "g", "no.such.property": 1})
    gc.collect()
    assert [str(each.message) for each in recwarn] == []


def test_a_member_that_reaches_nobody_waits_once_for_all_of_its_topics(monkeypatch):
    monkeypatch.setattr(clients, "_LOOK_UP_SECONDS", 0.2)
    settings = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0, "group.id": "g"}
    member = clients.Member({**settings, "group.protocol": "consumer"})
    began = time.monotonic()
    member.subscribe([f"t{number}" for number in range(50)])
    assert time.monotonic() - began < 5.0
    member.close()
