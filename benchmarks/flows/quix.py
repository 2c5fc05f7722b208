"""An application of Quix Streams, as both contests have it."""

from __future__ import annotations

from typing import Any

from quixstreams import Application
from quixstreams.dataframe import StreamingDataFrame


def opened(
    trial: Any, client: dict[str, Any], every: float, folder: str
) -> tuple[Application, StreamingDataFrame]:
    """Return an application that commits every so many seconds, and the records of its topic as bytes."""
    application = Application(
        trial.servers,
        consumer_group=trial.group,
        auto_offset_reset="earliest",
        commit_interval=every,
        consumer_extra_config=client,
        state_dir=folder,
        loglevel="WARNING",
    )
    topic = application.topic(trial.topic, value_deserializer="bytes", key_deserializer="bytes")
    return application, application.dataframe(topic)
