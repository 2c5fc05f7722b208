"""Where the messages of a chain come from, when that is no topic (:mod:`streamzarr.flow.topic`)."""

from streamzarr.flow.sources.async_iterable import from_async_iterable
from streamzarr.flow.sources.chunks import from_array
from streamzarr.flow.sources.iterable import from_iterable, from_pull
from streamzarr.flow.sources.lines import from_lines
from streamzarr.flow.sources.observable import from_observable

__all__ = ["from_array", "from_async_iterable", "from_iterable", "from_lines", "from_observable", "from_pull"]
