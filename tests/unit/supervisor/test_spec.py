import dataclasses

import pytest

from streamzarr.errors import ConfigError
from streamzarr.supervisor import RestartPolicy, Supervisor, WorkerSpec


@pytest.mark.parametrize(
    "target", ["os.system", "os:", ":run", "a b:run", "os:path.join", "../x:run", "", None]
)
def test_malformed_target(target):
    with pytest.raises(ConfigError, match=r"expected 'package\.module:function'"):
        WorkerSpec(target)


def test_a_function_of_the_running_script_is_refused_with_the_way_out():
    with pytest.raises(ConfigError, match="put the function in a module"):
        WorkerSpec("__main__:work")


@pytest.mark.parametrize("name", ["", "a/b", "-rf", "a b", 3])
def test_malformed_name(name):
    with pytest.raises(ConfigError, match="worker name"):
        WorkerSpec("a:b", name=name)


@pytest.mark.parametrize("config", [{"a": b"bytes"}, {"a": object()}, {1: "a"}, {"a": {1, 2}}])
def test_config_must_be_json(config):
    with pytest.raises(ConfigError, match="configuration of worker"):
        WorkerSpec("a:b", config)


def test_config_is_what_the_worker_will_get_and_does_not_change_any_more():
    mine = {"shape": (1, 2)}
    spec = WorkerSpec("a:b", mine)
    mine["more"] = 1
    assert spec.config == {"shape": [1, 2]}
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.target = "c:d"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"hang_timeout": 0}, "hang_timeout is 0"),
        ({"drain": -1}, "drain is -1"),
        ({"drain": float("inf")}, "drain is inf"),
        ({"max_restarts": -1}, "max_restarts is -1"),
        ({"within": 0}, "within is 0"),
    ],
)
def test_arguments_that_cannot_be_used(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Supervisor(WorkerSpec("a:b"), **arguments)


def test_policy_scales_its_backoff_to_its_window():
    assert RestartPolicy(10, 60.0).longest_delay == 3.0
    assert RestartPolicy(0, 60.0).longest_delay == 30.0
    assert RestartPolicy(1, float("inf")).longest_delay == 30.0
