"""No text that people, logs or topics get to see holds a password of a URL."""

import ast
import logging
import os
import pickle  # noqa: TID251 - a broker must survive it
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamzarr
from streamzarr.errors import ConfigError, StreamzarrError
from streamzarr.queue import DeadLetterQueue, open_broker
from streamzarr.queue.scan import scan
from streamzarr.redact import redacted
from streamzarr.stores import open_store
from streamzarr.stores.registry import register_store
from streamzarr.supervisor import WorkerSpec
from streamzarr.testing.broker_fake import FakeBroker

SECRET = "hunter2"
PACKAGE = Path(streamzarr.__file__).parent


@pytest.mark.parametrize(
    "url",
    [
        f"kafka://h:9092?sasl.password={SECRET}",
        f"kafka://h?sasl%2Epassword={SECRET}&request_timeout=5",
        f"kafka://h?sasl.username=me@lab&SASL.PASSWORD={SECRET}",
        f"kafka://h?sasl.password=a&{SECRET}",
        f"kafka://h?ssl.key.pem={SECRET}",
        f"kafka://h?ssl.keystore.password={SECRET}",
        f"kafka://h?sasl.oauthbearer.config=x={SECRET}",
        f"kafka://h?sasl.oauthbearer.client.secret={SECRET}",
        f"kafka://h?sasl.oauthbearer.assertion.private.key.passphrase={SECRET}",
        f"kafka://me:{SECRET}@h",
        f"kafka://{SECRET}@h",
        f"kafka://me:x/{SECRET}@h:9092",
        f"kafka://me:x?{SECRET}@h:9092",
        f"kafka://me:x@{SECRET}@h:9092",
        f"s3://AKIA:{SECRET}@lab/a.zarr",
        f"s3://lab/a.zarr?aws_secret_access_key={SECRET}",
        f"s3://lab/a.zarr?session_token={SECRET}&region=eu",
        f"s3://lab/a.zarr?endpoint_url=http://me:{SECRET}@h:9000",
        f"s3://lab/a.zarr?endpoint_url=http%3A%2F%2Fme%3A{SECRET}%40h%3A9000",
        f"az://lab/a.zarr?sig={SECRET}",
        f"mongodb://me:{SECRET}@h/db?credential={SECRET}",
    ],
)
def test_secrets_of_a_url_are_hidden(url):
    shown = redacted(url)
    assert SECRET not in shown
    assert shown.startswith(url.partition("://")[0] + "://")
    assert redacted(shown) == shown


@pytest.mark.parametrize(
    "url",
    [
        "kafka://b1:9092,b2:9092?request_timeout=5&security.protocol=SSL&sasl.username=me@lab",
        "sqlite:////data/q%20ueue.db?max_record_bytes=1000&busy_timeout=5",
        "s3://lab/a@b.zarr?endpoint_url=http%3A%2F%2F127.0.0.1%3A9000&region=eu",
        "file:///data/a@b.zarr",
        "/data/pass?key=1",
        "",
    ],
)
def test_what_is_no_secret_stays(url):
    assert redacted(url) == url


@given(st.text(), st.text(alphabet="abcdefgh0123456789:/?&@", min_size=1))
def test_any_text_can_be_shown(text, place):
    redacted(text)
    assert "zz" not in redacted(f"kafka://me:zz@{place}")


def failing(*calls):
    """Return all that the errors of `calls` say, causes included."""
    said = []
    for call in calls:
        with pytest.raises((StreamzarrError, TypeError)) as caught:
            call()
        error = caught.value
        while error is not None:
            said.append(f"{error} {error!r}")
            error = error.__cause__
    return "\n".join(said)


def test_no_error_of_a_kafka_broker_and_no_log_line_holds_its_password(caplog):
    caplog.set_level(logging.DEBUG)
    url = (
        f"kafka://127.0.0.1:1?request_timeout=0.1&security.protocol=SASL_PLAINTEXT&sasl.mechanism=PLAIN"
        f"&sasl.username=me&sasl.password={SECRET}"
    )
    with open_broker(url) as broker:
        said = failing(
            lambda: broker.describe("t"),
            broker.topics,
            broker.groups,
            lambda: broker.create_topic("t"),
            lambda: broker.trim("t", {0: 1}),
            lambda: broker.committed("g", "t"),
            lambda: broker.consumer(["t"], "g"),
            lambda: broker.reader("t"),
            lambda: broker.producer().send("t", []),
            lambda: list(scan(broker, "t")),
            lambda: DeadLetterQueue(broker, "t").ls(),
            lambda: open_broker(f"{url}&no.such.option={SECRET}"),
            lambda: open_broker(f"kafka://h?security.protocol=SSL&ssl.key.pem={SECRET}"),
            lambda: open_broker(f"{url}&security.protocl=x"),
            lambda: open_broker(f"kafka://me:{SECRET}@h"),
            lambda: open_broker(f"kafka://me:x/{SECRET}@h"),
            lambda: open_broker(f"kafka://h?request_timeout=x&sasl.password={SECRET}"),
            lambda: open_broker(f"kafkaa://h?sasl.password={SECRET}"),
            lambda: open_broker(f"sqlite:///q.db?password={SECRET}"),
            lambda: open_broker(f"sqlite://me:{SECRET}@h/q.db"),
        )
        assert "not reached" in said
        assert SECRET not in said
        assert SECRET not in f"{broker} {broker!r} {caplog.text}"
        assert pickle.loads(pickle.dumps(broker)).url == url, "the URL itself is whole"


def test_errors_of_all_layers_above_a_broker_show_it_without_its_password():
    from streamzarr.jobs import JobTopics
    from streamzarr.jobs.register import find_job

    class Secretive(FakeBroker):
        url = f"kafka://h?sasl.password={SECRET}"

    broker = Secretive()
    JobTopics().ensure(broker)
    broker.create_topic("t.dead")
    said = failing(
        lambda: find_job(broker, JobTopics(), "01M7XZ"),
        lambda: DeadLetterQueue(broker, "t.dead").get((0, 7)),
    )
    assert "sasl.password=***" in said
    assert SECRET not in said


def test_stores_are_not_opened_by_secrets_and_do_not_repeat_them():
    said = failing(
        lambda: open_store(f"s3://AKIA:{SECRET}@lab/a"),
        lambda: open_store(f"s3://lab/a?aws_secret_access_key={SECRET}"),
        lambda: open_store(f"s3://lab/a?endpoint_url=http://me:{SECRET}@127.0.0.1:9000"),
        lambda: open_store(f"nosuch://me:{SECRET}@lab/a"),
        lambda: open_store(f"file:///a?password={SECRET}"),
        lambda: open_store(f"file:///a?password={SECRET}#x"),
        lambda: open_store(f"s3://lab/a?token={SECRET}&b"),
        lambda: open_store(f"file://me:{SECRET}@lab/a"),
        lambda: open_store(f"zip://me:{SECRET}@lab/a"),
        lambda: open_store(f"memory://a?token={SECRET}"),
    )
    assert SECRET not in said
    assert "***" in said


def test_a_store_of_a_plugin_is_given_the_whole_url():
    seen = []
    register_store("vault", lambda url: seen.append(url) or open_store("memory://"), replace=True)
    open_store(f"vault://lab?token={SECRET}")
    assert seen[0].options == {"token": SECRET}
    assert SECRET not in seen[0].shown


def test_a_worker_s_configuration_is_not_in_its_repr():
    assert SECRET not in repr(WorkerSpec("a.b:c", {"broker": f"kafka://h?sasl.password={SECRET}"}))


@pytest.mark.parametrize(
    "command", ["job status", "job wait", "broker topics", "dlq ls", "job resume 01M7XZ", "job cancel 01M7XZ"]
)
def test_no_command_shows_the_password(command, tmp_path):
    url = f"kafka://127.0.0.1:1?request_timeout=0.1&sasl.password={SECRET}"
    ran = subprocess.run(
        [sys.executable, "-m", "streamzarr", "--debug", *command.split()],
        env={**os.environ, "STREAMZARR_BROKER": url},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 2
    assert "127.0.0.1:1" in ran.stderr
    assert SECRET not in ran.stdout + ran.stderr


# ---------------------------------------------------------------- the source itself

NODES = {"source", "target", "store", "array", "group"}
TELLS = ("Error", "Failure", "echo", "print_line", "format")
LAYERS = ["queue", "flow", "jobs", "supervisor", "cli", "demo", "fleet.py"]


def modules():
    for layer in LAYERS:
        path = PACKAGE / layer
        yield from [path] if path.suffix else sorted(path.rglob("*.py"))


def is_url(node, in_cli):
    """Tell whether an expression is a URL as it was given: ``x.url``, ``url``, in commands ``broker``.

    What was opened as a store has a URL without secrets.
    """
    if isinstance(node, ast.Attribute):
        return node.attr.lstrip("_") == "url" and ast.unparse(node.value).lstrip("_") not in NODES
    return isinstance(node, ast.Name) and (node.id == "url" or (in_cli and node.id == "broker"))


def shown_in(tree):
    """Yield what goes into texts: into f-strings, and into calls that print, log or make an exception."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FormattedValue):
            yield node.value
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if (
                name.endswith(("Error", "echo", "print_line", "format", "Failure"))
                or "log" in name.split(".")[0]
            ):
                yield from node.args


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_url_goes_into_a_text_but_through_redacted(path):
    tree = ast.parse(path.read_text())
    in_cli = "cli" in path.parts
    wrong = [node.lineno for node in shown_in(tree) if is_url(node, in_cli)]
    assert not wrong, f"{path}, lines {wrong}: a URL may hold a password; use redacted(url), or str(broker)"


def test_the_lint_finds_what_it_should():
    source = 'raise QueueError(f"{broker.url} {self._url} {url!r}", url); echo(broker); log.info("%s", x.url)'
    assert sum(is_url(node, True) for node in shown_in(ast.parse(source))) == 6
    assert not any(is_url(node, True) for node in shown_in(ast.parse('f"{redacted(url)} {self._broker}"')))


def test_url_of_a_broker_that_cannot_be_opened_is_a_config_error():
    with pytest.raises(ConfigError, match=r"kafka://\*\*\*@h"):
        open_broker(f"kafka://me:{SECRET}@h")
