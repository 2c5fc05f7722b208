"""Streams as the array layer sees them: groups whose arrays change by commits of their writer alone.

A stream's root says the shapes of its fields and a commit record that goes with them; changed by other means
the two would not fit, and every reader and writer of the stream would refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streamzarr.errors import UnsupportedError

STREAM_ATTRIBUTE: Final = "streamzarr"
"""Where a stream's group keeps its commit record; its own ``zarr.json`` is what its readers go by."""


def check_no_stream(url: str, attributes: Mapping[str, Any]) -> None:
    """Refuse to change the members of a group that is a stream.

    Raises
    ------
    streamzarr.errors.UnsupportedError
        It is one.
    """
    if STREAM_ATTRIBUTE in attributes:
        raise of_commits_alone(url)


def of_commits_alone(url: str) -> UnsupportedError:
    """Return the error for who would change the members of the stream at `url`."""
    return UnsupportedError(
        f"{url} is a stream, whose arrays change by commits alone; "
        "use sz.StreamWriter to append rows and to add fields, and stream.retain to give rows up"
    )
