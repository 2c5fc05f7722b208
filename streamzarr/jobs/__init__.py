"""Chunk jobs: one array made of another by tasks, each a block of target chunks, on any number of workers.

``submit`` makes the target and emits tasks under demand, workers (:mod:`streamzarr.jobs.worker`) carry them
out, ``open_job`` watches, and ``resume`` goes on after an interruption.

===================  ==================================================================================
what is asked for    ``submit``, ``check``, ``params``, ``places``, ``claim``, ``stages``, ``numbering``,
                     ``streams``
what is planned      ``planner``, ``passes``, ``rehearse``, ``preview``
what is made         ``target``, ``pyramid``, ``multiscales``, ``nodata``, ``compute``, ``cast``,
                     ``downsample``, ``shards``
what travels         ``wire``, ``topics``, ``spread``, ``emit``, ``drive``
what a worker does   ``worker``, ``options``, ``execute``, ``layout``, ``opened``, ``block``, ``boxwork``,
                     ``outcome``, ``pin``, ``wanted``, ``budget``, ``heap``, ``trial``,
                     ``trial_child``, ``trial_work``, ``bookkeeper``, ``transforms``
what is known of it  ``register``, ``known``, ``ledger``, ``spans``, ``track``, ``overview``, ``report``,
                     ``handle``, ``progress``, ``letters``, ``replay``, ``compact``, ``forget``
===================  ==================================================================================
"""

from streamzarr.jobs.forget import forget
from streamzarr.jobs.handle import JobHandle
from streamzarr.jobs.overview import read_jobs
from streamzarr.jobs.preview import JobPlan, StagePlan, plan
from streamzarr.jobs.register import read_register
from streamzarr.jobs.replay import replay
from streamzarr.jobs.report import JobReport
from streamzarr.jobs.streams import compact_stream
from streamzarr.jobs.submit import open_job, resume, submit
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.transforms import transform

__all__ = [
    "JobHandle",
    "JobPlan",
    "JobReport",
    "JobTopics",
    "StagePlan",
    "compact_stream",
    "forget",
    "open_job",
    "plan",
    "read_jobs",
    "read_register",
    "replay",
    "resume",
    "submit",
    "transform",
]
