"""Whether all that a chain delivers will be settled, and once: told from its shape, before any is pulled."""

from __future__ import annotations

from collections.abc import Sequence

from streamzarr.errors import ConfigError
from streamzarr.flow.stage import Stage, Upstream


def ends(sources: Sequence[Upstream], stages: Sequence[Stage]) -> list[Upstream]:
    """Return what feeds no stage: where messages come out."""
    feeding = {id(upstream) for stage in stages for upstream in stage.above}
    loose = {id(stage) for stage in stages if stage.loose}
    return [each for each in (*sources, *stages) if id(each) not in feeding or id(each) in loose]


def check_settling(sources: Sequence[Upstream], stages: Sequence[Stage]) -> None:
    """Raise unless every message of `sources` meets a stage that settles it, and no second one.

    Tells each of `stages`, which go from upstream to downstream, whether what it passes on is settled.

    Raises
    ------
    streamzarr.errors.ConfigError
        Credit and offsets of some would never return, or a message would be settled twice.
    """
    for stage in stages:
        stage.settled = stage.settles or (bool(stage.above) and all(each.settled for each in stage.above))
    if not all(each.settled for each in ends(sources, stages)):
        place = "an end of the chain" if any(stage.settles for stage in stages) else "the chain"
        raise ConfigError(
            f"nothing settles what comes out of {place}: is ops.settle() missing? It was expected at the "
            "end, for all sources and branches, or flow.iter to read what comes out (a stage of your own "
            "says that it settles by settles = True)"
        )
    for stage in stages:
        settled = [upstream.settled for upstream in stage.above]
        if stage.settles and any(settled) and not (stage.reads and all(settled)):
            raise ConfigError(
                "messages would be settled a second time: what comes out of an ops.settle() goes into "
                "another one, or is read beside what is not settled; expected one for each message: in every "
                "branch and source, or once, behind where they are joined"
            )
