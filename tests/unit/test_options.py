"""One schema for options: what is taken, what is refused, and what users see of it."""

import dataclasses
import inspect
import math

import click
import numpy as np
import pytest

import streamzarr as sz
from streamzarr.cli.main import cli
from streamzarr.errors import ConfigError
from streamzarr.jobs.options import WorkerOptions
from streamzarr.supervisor import SupervisionOptions, Supervisor, WorkerSpec

SCHEMA = [each for owner in (WorkerOptions, SupervisionOptions) for each in dataclasses.fields(owner)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_demand": 0}, "max_demand is 0, expected an integer, 1 or more"),
        ({"max_demand": 1.0}, "max_demand is 1.0, expected an integer"),
        ({"threads": True}, "threads is True, expected an integer"),
        ({"threads": "2"}, "threads is '2', expected an integer"),
        ({"attempts": None}, "attempts is None, expected an integer"),
        ({"max_crashes": -1}, "max_crashes is -1"),
        ({"session_timeout": -1}, "session_timeout is -1, expected a finite number, more than 0"),
        ({"session_timeout": 0}, "session_timeout is 0"),
        ({"session_timeout": math.inf}, "session_timeout is inf"),
        ({"retry_base": math.nan}, "retry_base is nan"),
        ({"retry_base": False}, "retry_base is False"),
        ({"roots": "/data"}, "roots is '/data', expected a list of texts"),
        ({"roots": []}, "roots is \\[\\], expected 1 or more texts"),
        ({"roots": [""]}, "an entry of roots is '', expected text"),
        ({"transforms": "module"}, "transforms is 'module', expected a list of texts"),
        ({"prefix": ""}, "prefix is '', expected text"),
        ({"drain": math.inf}, "drain is inf"),
        ({"hang_timeout": 0}, "hang_timeout is 0"),
        ({"within": math.nan}, "within is nan"),
        ({"max_restarts": -1}, "max_restarts is -1"),
        ({"max_restarts": 1.5}, "max_restarts is 1.5"),
        ({"workers": 0}, "workers is 0"),
        ({"workers": True}, "workers is True"),
    ],
    ids=str,
)
def test_options_that_cannot_be_used_are_refused_by_a_fleet(tmp_path, options, says):
    with pytest.raises(ConfigError, match=says):
        sz.Fleet(f"sqlite:///{tmp_path}/queue.db", **options)


def test_numbers_and_lists_of_any_kind_get_the_type_of_the_option():
    options = WorkerOptions(broker="b", roots=["a", "b"], threads=np.int64(2), session_timeout=np.float32(3))
    assert options == WorkerOptions(broker="b", roots=("a", "b"), threads=2, session_timeout=3.0)
    assert (type(options.threads), type(options.session_timeout)) == (int, float)
    assert SupervisionOptions(hang_timeout=math.inf).hang_timeout == math.inf


def test_the_signature_and_the_docstring_of_a_fleet_show_every_option():
    shown = inspect.signature(sz.Fleet).parameters
    assert list(shown)[:2] == ["broker", "workers"]
    for each in SCHEMA:
        assert each.name in shown
        assert f"\n    {each.name}\n        " in sz.Fleet.__doc__
        if each.default is not dataclasses.MISSING:
            assert shown[each.name].default == each.default
    assert "{options}" not in sz.Fleet.__doc__ + Supervisor.__doc__
    assert "drain" in inspect.signature(Supervisor).parameters
    assert "threads" not in inspect.signature(Supervisor).parameters


def test_the_command_line_has_an_option_for_each_with_the_same_default():
    command = cli.commands["worker"]
    parameters = {each.name: each for each in command.get_params(click.Context(command))}
    for each in SCHEMA:
        assert each.name in parameters
        if isinstance(each.default, int | float):
            assert parameters[each.name].default == each.default


def test_a_name_that_is_no_option_is_refused(tmp_path):
    with pytest.raises(TypeError, match="max_demands"):
        sz.Fleet(f"sqlite:///{tmp_path}/queue.db", max_demands=1)
    with pytest.raises(TypeError, match="max_demand"):
        Supervisor(WorkerSpec("a:b"), max_demand=1)
