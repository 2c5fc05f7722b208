import sys

import pytest

from streamzarr.errors import ConfigError
from streamzarr.supervisor.board import CrashTable, Slot, shared_file
from streamzarr.supervisor.protocol import EXIT_CONFIG, EXIT_ERROR, MAX_MESSAGE
from streamzarr.supervisor.supervision import Supervision
from streamzarr.supervisor.target import load_target, run_target


@pytest.fixture
def supervision():
    slot, crashes = shared_file(Slot.SIZE, "slot"), shared_file(CrashTable.SIZE, "crashes")
    said = []
    one = Supervision("worker-0", 0, Slot(slot), CrashTable(crashes), said.append)
    one.said = said
    return one


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of the given source and return the name to import it by."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(source, name="given_target"):
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("", "no_such_module_here:run", "cannot be imported: No module named 'no_such_module_here'"),
        ("1 +", "given_target:run", "cannot be imported: SyntaxError"),
        ("1 / 0", "given_target:run", "cannot be imported: ZeroDivisionError: division by zero"),
        ("", "given_target:run", "module 'given_target' has no 'run'"),
        ("run = 3", "given_target:run", "is of type int, expected a function"),
        ("def run(supervision): ...", "given_target:run", r"does not take \(supervision, \*\*\['a'\]\)"),
        ("def run(supervision, a, b): ...", "given_target:run", "missing a required argument: 'b'"),
    ],
)
def test_each_way_a_target_can_be_wrong_is_one_sentence(module, source, target, message):
    module(source)
    with pytest.raises(ConfigError, match=message) as caught:
        load_target(target, {"a": 1})
    assert "\n" not in str(caught.value)


def test_exit_codes_and_last_words(module, supervision, capsys):
    name = module(
        "from streamzarr.errors import ConfigError\n"
        "def good(supervision): supervision.beat()\n"
        "def bad(supervision): raise ValueError('no\\nway')\n"
        "def misconfigured(supervision): raise ConfigError('url is empty')\n"
        "def long(supervision): raise ValueError('x' * 100_000)\n"
    )

    def run(function):
        supervision.said.clear()
        return run_target(f"{name}:{function}", {}, supervision, supervision.said.append)

    assert run("good") == 0
    assert supervision.said == [{"ready": True}]
    assert run("bad") == EXIT_ERROR
    assert supervision.said == [{"error": "ValueError: no way"}]
    assert capsys.readouterr().err.splitlines()[-1] == "ValueError: no way"
    assert run("misconfigured") == EXIT_CONFIG
    assert supervision.said == [{"error": "url is empty"}]
    assert capsys.readouterr().err == "url is empty\n"
    assert run("long") == EXIT_ERROR
    assert len(supervision.said[0]["error"]) == MAX_MESSAGE


def test_exit_by_the_target_itself_is_passed_on(module, supervision):
    name = module("def run(supervision): raise SystemExit(7)")
    with pytest.raises(SystemExit) as caught:
        run_target(f"{name}:run", {}, supervision, supervision.said.append)
    assert caught.value.code == 7


def test_an_error_while_draining_is_the_workers_error(module, supervision):
    name = module(
        "def run(supervision):\n"
        "    supervision.on_stop(lambda left: 1 / 0)\n"
        "    supervision.request_stop(10.0)\n"
    )
    assert run_target(f"{name}:run", {}, supervision, supervision.said.append) == EXIT_ERROR
    assert supervision.said == [{"error": "ZeroDivisionError: division by zero"}]
