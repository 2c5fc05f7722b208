"""A task that may kill its process is tried in one of its own.

A worker that dies takes the work of its neighbours along, and its partitions stand still until the broker has
given it up. So a task under suspicion is not carried out in the worker: a child process does it, one task and
nothing else, and all that its death costs is that process.

Of a task of many chunks mostly one is to blame, or none. It is tried as a whole, which costs no more than to
carry it out, and the child says at which chunk it works: a death is held against that one. Where it worked at
several, at what they are read from for example, they are tried one after the other from there, until the one
to blame is put aside.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from streamzarr.errors import StreamzarrError
from streamzarr.jobs.options import WorkerOptions
from streamzarr.jobs.outcome import Tell
from streamzarr.jobs.trial_child import Bounds, Cause, Death, End, Ending, RunTrial, revive, run_trial
from streamzarr.jobs.wire import Task, encode


class WorkerCrashError(StreamzarrError):
    """The process died each time it carried out this task: no memory, segmentation fault, ``os._exit``."""


class TaskTimeoutError(StreamzarrError):
    """The task did not end within the workers' `task_timeout`, however often it was tried."""


class TaskMemoryError(StreamzarrError):
    """The task used more than the workers' `max_memory`, however often it was tried."""


@dataclass(frozen=True, slots=True)
class Court:
    """Tries suspected tasks until they succeed, fail as others do, or have died often enough.

    Thread-safe; blocks for as long as the trials take. A trial ends with this process: it waits for the end
    of its standard input.
    """

    options: WorkerOptions
    task_timeout: float | None = None
    max_memory: int | None = None
    run_trial: RunTrial = run_trial
    """Runs the process."""

    def __call__(self, task: Task, numbers: Sequence[int], tell: Tell, suspicion: tuple[int, Cause]) -> bool:
        """Carry out chunks of `task`, in their order; False: its job is over, and the rest not written.

        Parameters
        ----------
        numbers, tell
            As of :class:`~streamzarr.jobs.execute.TaskExecutor`. A chunk is lost for ``WorkerCrashError``,
            ``TaskTimeoutError`` or ``TaskMemoryError`` after `max_crashes` deaths, by the cause of the last.
        suspicion
            Deaths that count against the task, and the cause of the last one. Of many chunks none is held
            against any.

        Raises
        ------
        Exception
            What carrying out the task as a whole has raised.
        """
        left = list(numbers)
        deaths = Counter({task.task: suspicion[0]} if task.count == 1 else {})
        death, singly = Death(suspicion[1], ""), False
        while left:
            guilty = max(left, key=deaths.__getitem__)
            if deaths[guilty] >= self.options.max_crashes:
                left.remove(guilty)
                tell(guilty, self._condemn(deaths[guilty], death))
                singly = False
                continue
            singly = singly or len(left) == 1
            end = self._try(task, left, tell, singly)
            if not isinstance(end, End):
                return end
            death = end.death
            chunk = left[0] if singly else end.chunk
            if chunk is None:
                singly = True
            else:
                deaths[chunk] += 1
        return True

    def _condemn(self, deaths: int, death: Death) -> StreamzarrError:
        times = "once" if deaths == 1 else f"{deaths} times"
        if death.cause == "timeout":
            return TaskTimeoutError(
                f"the task did not end within {self.task_timeout:g} s, its task_timeout; "
                f"its process was killed, {times} in all"
            )
        if death.cause == "memory":
            return TaskMemoryError(
                f"the task's process used more than {self.max_memory} bytes, its max_memory, and was killed, "
                f"{times} in all"
            )
        return WorkerCrashError(
            f"the process died {times} while it carried out this task"
            + (f", last by {death.text}" if death.text else "")
        )

    def _try(self, task: Task, left: list[int], tell: Tell, singly: bool) -> End | bool:
        """Carry out what is left in a process of its own, and take what it tells of from `left`."""
        order = {
            "path": sys.path,
            "options": msgspec.to_builtins(self.options),
            "task": encode(task).decode(),
            "numbers": left,
            "singly": singly,
        }
        whole: list[Ending] = []

        def hear(ending: Ending) -> None:
            if ending.task is None:
                whole.append(ending)
                return
            left.remove(ending.task)
            tell(ending.task, revive(ending) if ending.error else ending.nbytes)

        bounds = Bounds(self.task_timeout or math.inf, self.max_memory or math.inf)
        end = self.run_trial(order, bounds, hear)
        if whole:
            if whole[0].error:
                raise revive(whole[0])
            return False
        if not left:
            return True
        return end
