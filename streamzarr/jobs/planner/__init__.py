"""How a job is cut into tasks: pure functions over shapes, chunks and a bound; no I/O.

A task writes a *block* of the target's grid and reads the box below it once. Along each axis a source chunk
is decoded once, and once more for each block that begins inside of it; over all axes these lengths multiply.
So every axis has a few lengths of block that are worth it, and the planner weighs their combinations.

===========  ==========================================================================================
``axes``     how an axis of the source is cut, and what a cut costs
``memory``   what a task holds; the worker's budget goes by it, too
``cost``     seconds of reading and writing; what a request costs
``ends``     what a pass reads and what it writes, and the pass between them
``blocks``   the best block for one pass
``boxes``    the chunks that an intermediate array may have
``passes``   one pass, or several through intermediate arrays
===========  ==========================================================================================
"""

from streamzarr.jobs.planner.axes import Even, Steps, Uneven
from streamzarr.jobs.planner.blocks import one_pass
from streamzarr.jobs.planner.cost import FILES, Requests
from streamzarr.jobs.planner.ends import Pass, Source, Target, pass_of
from streamzarr.jobs.planner.memory import Held, held_bytes, readers_of, writers_of
from streamzarr.jobs.planner.passes import passes_of

__all__ = [
    "FILES",
    "Even",
    "Held",
    "Pass",
    "Requests",
    "Source",
    "Steps",
    "Target",
    "Uneven",
    "held_bytes",
    "one_pass",
    "pass_of",
    "passes_of",
    "readers_of",
    "writers_of",
]
