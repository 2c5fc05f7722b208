"""Jobs in the test's own process: submitted as ever, their tasks carried out one after the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import msgspec

from streamzarr import jobs
from streamzarr.jobs import JobTopics
from streamzarr.jobs.boxwork import InFlight
from streamzarr.jobs.execute import TaskExecutor
from streamzarr.jobs.numbering import Numbering
from streamzarr.jobs.outcome import Outcome
from streamzarr.jobs.register import find_job
from streamzarr.jobs.wire import Task, encode
from streamzarr.queue import open_broker


def carry_out(execute: Callable[..., bool], task: Task, in_flight: InFlight = nullcontext) -> int | None:
    """Carry out all chunks of a task by a ``TaskExecutor`` or the like.

    Returns the decoded bytes written, None where its job is over.

    Raises the error of the first chunk that failed.
    """
    outcome = Outcome()
    outcome.begin()
    if not execute(task, task.numbers, outcome.tell, in_flight):
        return None
    for failed in outcome.failed.values():
        raise failed.error
    outcome.check()
    return sum(done.nbytes for done in outcome.written.values())


def run_inline(folder: Path, kind: str, source: str, target: str, **options: object) -> dict[int, Exception]:
    """Submit a job between two arrays of `folder` and carry it out; return the tasks that failed, and why."""
    broker = f"sqlite:///{folder}/queue.db"
    places = str(folder / source), str(folder / target)
    with open_broker(broker) as opened, jobs.submit(kind, *places, broker=opened, **options) as job:
        stages = find_job(opened, JobTopics(), job.id).submitted.stages
    plan, execute, failed = Numbering.of(stages), TaskExecutor([str(folder)]), {}
    for number in range(plan.tasks):
        stage = plan.stages[plan.stage_of(number)]
        try:
            carry_out(execute, Task(1, job.id, number, plan.chunk(number), msgspec.Raw(encode(stage))))
        except Exception as error:
            failed[number] = error
    return failed
