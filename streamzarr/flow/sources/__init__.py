"""Where the messages of a chain come from, and who keeps positions."""

from streamzarr.flow.sources.async_iterable import from_async_iterable
from streamzarr.flow.sources.chunks import from_array
from streamzarr.flow.sources.committer import Committer
from streamzarr.flow.sources.iterable import from_iterable, from_pull
from streamzarr.flow.sources.lines import from_lines
from streamzarr.flow.sources.observable import from_observable
from streamzarr.flow.sources.overflow import Blocking, Overflow, Refusing, Spilling
from streamzarr.flow.sources.topic import from_topic, from_topic_columns

__all__ = [
    "Blocking",
    "Committer",
    "Overflow",
    "Refusing",
    "Spilling",
    "from_array",
    "from_async_iterable",
    "from_iterable",
    "from_lines",
    "from_observable",
    "from_pull",
    "from_topic",
    "from_topic_columns",
]
