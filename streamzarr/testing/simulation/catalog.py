"""Which scenario a name stands for: those that streamzarr ships, and a user's own by ``module:name``."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from streamzarr.errors import ConfigError
from streamzarr.flow import ops
from streamzarr.testing.simulation.chain import ChainScenario
from streamzarr.testing.simulation.errors import told
from streamzarr.testing.simulation.scenario import Scenario

BUILT_IN = {
    "chain": "streamzarr.testing.simulation.chains:CHAIN",
    "graph": "streamzarr.testing.simulation.chains:GRAPH",
    "windows": "streamzarr.testing.simulation.chains:WINDOWS",
    "kept-windows": "streamzarr.testing.simulation.chains:KEPT_WINDOWS",
    "sessions": "streamzarr.testing.simulation.chains:SESSIONS",
    "window-parts": "streamzarr.testing.simulation.chains:PARTS",
    "pipeline": "streamzarr.testing.simulation.pipelines:PIPELINE",
    "jobs": "streamzarr.testing.simulation.jobs:JOBS",
    "stream": "streamzarr.testing.simulation.streams:STREAM",
}
Sort: TypeAlias = Literal["scenario", "chain", "transform"]


@dataclass(frozen=True, slots=True)
class Named:
    """A scenario by name, so that another process can find it."""

    sort: Sort
    name: str

    def find(self) -> Scenario:
        """Import it.

        Raises
        ------
        streamzarr.errors.ConfigError
            There is no such thing, or it is something else.

        Examples
        --------
        >>> Named("scenario", "chain").find().name
        'chain'
        """
        path = self._path()
        found = _imported(path)
        match self.sort:
            case "chain":
                return ChainScenario(_function(found, path, "its argument is the Bench"), name=self.name)
            case "transform":
                return transform_scenario(_function(found, path, "its argument is a value"), name=self.name)
        return _scenario(found, path)

    def _path(self) -> str:
        if self.sort == "scenario" and self.name in BUILT_IN:
            return BUILT_IN[self.name]
        module, _, name = self.name.partition(":")
        if all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
            return self.name
        known = f"one of {', '.join(BUILT_IN)}, or " if self.sort == "scenario" else ""
        raise ConfigError(f"{self.sort} {self.name!r}: expected {known}module:name of an importable module")


def transform_scenario(function: Callable[[Any], Any], name: str = "transform") -> ChainScenario:
    """Return a scenario that applies a function to the value of each record, on worker threads."""
    return ChainScenario(
        lambda bench: bench.source().pipe(ops.dispatch(function, workers=2), ops.settle(bench.sink)),
        name=name,
        fate=lambda value: _fate_of(function, value),
    )


def _fate_of(function: Callable[[Any], Any], value: bytes) -> Literal["written", "dead"]:
    try:
        function(value)
    except Exception:  # noqa: BLE001 - whatever it is, it makes a dead letter
        return "dead"
    return "written"


def _imported(path: str) -> Any:
    if "" not in sys.path:
        sys.path.insert(0, "")  # as for a script: modules of the folder one is in
    module, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{path}: {told(error)}") from error
    return found


def _function(found: Any, path: str, argument: str) -> Callable[..., Any]:
    """Return what was found, where it can be called with one argument and gives its result at once."""
    if not callable(found):
        raise ConfigError(f"{path} is {type(found).__name__}, expected a function")
    if inspect.iscoroutinefunction(found):
        raise ConfigError(f"{path} is a coroutine function, expected a plain one")
    function: Callable[..., Any] = found
    try:
        parameters = inspect.signature(function)
    except ValueError:  # some built-in functions do not tell
        return function
    try:
        parameters.bind(None)
    except TypeError as error:
        raise ConfigError(f"{path}{parameters}: {error}; {argument}, and there is no other") from error
    return function


def _scenario(found: Any, path: str) -> Scenario:
    if isinstance(found, type) or (callable(found) and not hasattr(found, "run")):
        try:
            found = found()
        except Exception as error:
            raise ConfigError(
                f"{path}: {told(error)}; expected a Scenario, or what returns one when it is called without "
                "arguments (a function that makes a chain is given as --chain)"
            ) from error
    if missing := [name for name in ("name", "size", "hazards", "run") if not hasattr(found, name)]:
        raise ConfigError(
            f"{path} is {type(found).__name__}, which has no {' and no '.join(missing)}; "
            "expected a Scenario or what returns one"
        )
    scenario: Scenario = found
    return scenario
