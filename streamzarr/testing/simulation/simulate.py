"""The public way to simulate one seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from streamzarr.errors import ConfigError
from streamzarr.testing.simulation.bench import Chain, Fate
from streamzarr.testing.simulation.catalog import Named, transform_scenario
from streamzarr.testing.simulation.chain import ChainScenario
from streamzarr.testing.simulation.examine import RUN_SECONDS, Finding, examine
from streamzarr.testing.simulation.rehearsal import rehearse
from streamzarr.testing.simulation.scenario import Scenario

MOST_SECONDS: Final = 86_400


def simulate(
    seed: int,
    scenario: Scenario | str = "chain",
    *,
    chain: Chain | None = None,
    transform: Callable[[Any], Any] | None = None,
    fate: Callable[[bytes], Fate] | None = None,
    shorten: bool = True,
    timeout: float = RUN_SECONDS,
) -> Finding:
    """Play one scenario on a simulated machine, with the faults that `seed` stands for.

    Threads, processes, clocks, network, broker and disks are simulated; what runs on them is the real code.
    The run is made in a child process, in virtual time, and takes a fraction of a second.

    Parameters
    ----------
    seed
        Decides everything that chance decides. The same one gives the same run.
    scenario
        One of those that ``streamzarr simulate --help`` lists, or one of your own.
    chain
        Instead of a scenario: a function that makes a worker's chain of a :class:`Bench`. Each record of its
        input must end as an output, as a dead letter, or as `fate` says.
    transform
        Instead of a chain: a function of a record's value.
    fate
        For `chain`: what shall become of a record of this value, ``"written"``, ``"dead"`` or ``"skipped"``.
    shorten
        Look for the shortest run that fails alike, if this one fails.
    timeout
        Seconds of real time after which a run that is not over has failed.

    Returns
    -------
    Finding
        Whether every promise was kept, and the story of the run.

    Raises
    ------
    streamzarr.errors.ConfigError
        More than one of `scenario`, `chain` and `transform`; `chain` raises, or returns something else.

    Examples
    --------
    >>> from streamzarr.flow import ops
    >>> def chain(bench):
    ...     return bench.source(max_demand=8).pipe(ops.map(int), ops.settle(bench.sink))
    >>> simulate(1, chain=chain).ok
    True
    """
    if (chain is not None) + (transform is not None) + (scenario != "chain") > 1:
        raise ConfigError("simulate: expected one of scenario, chain and transform")
    if fate is not None and chain is None:
        raise ConfigError("simulate: fate says what becomes of the records of a chain; there is none")
    if not 0 < timeout <= MOST_SECONDS:
        raise ConfigError(f"simulate: timeout is {timeout}, expected seconds above 0, at most {MOST_SECONDS}")
    if chain is not None:
        scenario = ChainScenario(chain) if fate is None else ChainScenario(chain, fate=fate)
    elif transform is not None:
        scenario = transform_scenario(transform)
    elif isinstance(scenario, str):
        scenario = Named("scenario", scenario).find()
    rehearse(scenario, timeout)
    return examine(scenario, seed, shorten=shorten, timeout=timeout)
