"""What values mean beside their dtype, kept in attributes of their array: it never changes in a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from streamzarr.errors import ConfigError
from streamzarr.stream.schema import CHUNK_ROWS, SORTED, Field
from streamzarr.zarr.metadata import ArrayMetadataV3

if TYPE_CHECKING:
    from streamzarr.feeds.config import Feed

DECIMALS: Final = "streamzarr_decimals"
"""The values are integers: so many decimals of a number."""
HOW: Final = "streamzarr_how"
"""Of a grid: what several values in a slot come to."""
STEP: Final = "streamzarr_step_ns"
"""Of the times of a grid: how long a slot is."""
WINDOW: Final = "streamzarr_window"
"""Of the ends of windows: their kind."""


def check_meaning(stored: Mapping[str, ArrayMetadataV3], feed: Feed, where: str) -> None:
    """Return if a feed has all fields of a stream, and their values are what those in the stream are.

    Raises
    ------
    streamzarr.errors.ConfigError
        They do not: rows from here on would be read as something else than they are.
    """
    schema = feed.schema()
    for name, array in stored.items():
        if name not in schema:
            raise ConfigError(
                f"{where}: has the field {name!r}, which the configuration lacks; keep it, with required = "
                "false if records lack it, or give another target"
            )
        wanted = schema[name]
        new = wanted.metadata(name, 0, CHUNK_ROWS)
        if (new.dtype, new.shape[1:]) != (array.dtype, array.shape[1:]):
            raise ConfigError(
                f"{where}: field {name!r} is {array.dtype} {array.shape[1:]} in the stream, and {new.dtype} "
                f"{new.shape[1:]} in the configuration; give it another name, or another target"
            )
        for key in (SORTED, DECIMALS, HOW, STEP, WINDOW):
            was, now = array.attributes.get(key), _attribute(wanted, key)
            if was != now and (key == SORTED or was is not None):
                what = key.removeprefix("streamzarr_")
                raise ConfigError(
                    f"{where}: field {name!r} has {what} {_told(was)} in the stream, and {_told(now)} in the "
                    "configuration; give it another name, or another target"
                )


def _attribute(field: Field, key: str) -> Any:
    return (True if field.sorted else None) if key == SORTED else field.attributes.get(key)


def _told(value: Any) -> str:
    return "no" if value is None else "yes" if value is True else str(value)
