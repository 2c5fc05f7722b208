"""Credit: how much may be in flight, who says so, and the arithmetic behind it (GenStage's)."""

from streamzarr.flow.demand.credits import Credits, Demand, Room
from streamzarr.flow.demand.lag import LagDemand
from streamzarr.flow.demand.manual import ManualDemand

__all__ = ["Credits", "Demand", "LagDemand", "ManualDemand", "Room"]
