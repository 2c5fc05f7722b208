"""Chunk jobs: one task for each target chunk, through a topic, to any number of workers.

``submit`` makes the target and emits tasks under demand, workers (:mod:`streamzarr.jobs.worker`) carry them
out, ``open_job`` watches, and ``resume`` goes on after an interruption.
"""

from streamzarr.jobs.forget import forget
from streamzarr.jobs.handle import JobHandle
from streamzarr.jobs.overview import read_jobs
from streamzarr.jobs.register import read_register
from streamzarr.jobs.replay import replay
from streamzarr.jobs.report import JobReport
from streamzarr.jobs.submit import open_job, resume, submit
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.transforms import transform

__all__ = [
    "JobHandle",
    "JobReport",
    "JobTopics",
    "forget",
    "open_job",
    "read_jobs",
    "read_register",
    "replay",
    "resume",
    "submit",
    "transform",
]
