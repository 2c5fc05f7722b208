"""Pipelines in Broadway's shape, on the flow: processors, named batchers, acknowledgement, failures.

Where to find what:

* ``pipeline``, ``options``, ``schema``, ``sources``, ``message``: what users write.
* ``batches``, ``bisect``, ``handlers``: decisions, and how handlers are called.
* ``stages``, ``desk``, ``detached``, ``acks``, ``assemble``: the chain that a pipeline is.
* ``acknowledger``, ``letters``, ``retries``: who is told what became of messages.
* ``works``, ``child``, ``elsewhere``, ``trial``, ``guard``, ``processes``: handlers in other processes, and
  supervision.
* ``running``, ``figures``, ``telemetry``: how it runs, is steered and stopped, and what it tells.
"""

from streamzarr.pipeline import telemetry
from streamzarr.pipeline.acknowledger import Acknowledger
from streamzarr.pipeline.batches import BatchInfo
from streamzarr.pipeline.message import Message
from streamzarr.pipeline.options import Batcher, Options, Processors
from streamzarr.pipeline.pipeline import Pipeline
from streamzarr.pipeline.retries import RetryTopic
from streamzarr.pipeline.running import RunningPipeline
from streamzarr.pipeline.sources import TopicSource

__all__ = [
    "Acknowledger",
    "BatchInfo",
    "Batcher",
    "Message",
    "Options",
    "Pipeline",
    "Processors",
    "RetryTopic",
    "RunningPipeline",
    "TopicSource",
    "telemetry",
]
