"""A machine, a broker and disks in virtual time, driven by one seed: faults that can be replayed.

::

    examine   a seed in child processes: run, replay, make shorter      many      many seeds, over the cores
      play    one run of a Scenario as a Plan has it
        World   what a scenario plays with
          Kernel            threads in lockstep, virtual time, processes that die without a ``finally``
          SimulatedRuntime  the runtime that the code under test is handed
          Cluster           topics and groups behind a network that loses answers; SimulatedBroker is a client
          Disks             stores that fail before or after they have written
          Faults            what goes wrong at the n-th event of a site
"""

from streamzarr.testing.simulation.bench import Bench
from streamzarr.testing.simulation.chain import ChainScenario
from streamzarr.testing.simulation.errors import BrokenPromiseError, SimulationError
from streamzarr.testing.simulation.examine import Finding
from streamzarr.testing.simulation.faults import Fault, Hazard
from streamzarr.testing.simulation.plan import Plan
from streamzarr.testing.simulation.play import Outcome
from streamzarr.testing.simulation.scenario import Scenario
from streamzarr.testing.simulation.simulate import simulate
from streamzarr.testing.simulation.world import World

__all__ = [
    "Bench",
    "BrokenPromiseError",
    "ChainScenario",
    "Fault",
    "Finding",
    "Hazard",
    "Outcome",
    "Plan",
    "Scenario",
    "SimulationError",
    "World",
    "simulate",
]
