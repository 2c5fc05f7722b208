"""Which scenario a name stands for: those that streamzarr ships, and a user's own by ``module:name``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from streamzarr.errors import ConfigError
from streamzarr.flow import ops
from streamzarr.testing.simulation.chain import ChainScenario
from streamzarr.testing.simulation.scenario import Scenario

BUILT_IN = {
    "chain": "streamzarr.testing.simulation.chains:CHAIN",
    "graph": "streamzarr.testing.simulation.chains:GRAPH",
    "windows": "streamzarr.testing.simulation.chains:WINDOWS",
    "kept-windows": "streamzarr.testing.simulation.chains:KEPT_WINDOWS",
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
        path = BUILT_IN.get(self.name, self.name) if self.sort == "scenario" else self.name
        found = _imported(path)
        match self.sort:
            case "chain":
                return ChainScenario(_called(found, path), name=self.name)
            case "transform":
                return transform_scenario(_called(found, path), name=self.name)
        if isinstance(found, type) or (callable(found) and not hasattr(found, "run")):
            found = found()
        if not (hasattr(found, "run") and hasattr(found, "hazards")):
            raise ConfigError(f"{path} is {type(found).__name__}, expected a Scenario or what returns one")
        scenario: Scenario = found
        return scenario


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
    module, colon, name = path.partition(":")
    if not colon:
        known = ", ".join(BUILT_IN)
        raise ConfigError(f"scenario {path!r}: expected one of {known}, or module:name")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as for a script: modules of the folder one is in
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return found


def _called(found: Any, path: str) -> Callable[..., Any]:
    if not callable(found):
        raise ConfigError(f"{path} is {type(found).__name__}, expected a function")
    function: Callable[..., Any] = found
    return function
