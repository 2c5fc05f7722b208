"""Decoders, by the name of their format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.base import Decoded, Decoder

__all__ = ["Decoded", "Decoder", "open_decoder"]


def open_decoder(format: str, columns: Mapping[str, ColumnSpec], **options: Any) -> Decoder:  # noqa: A002
    """Return the decoder of a format."""
    if format == "json":
        from streamzarr.feeds.decode.json_ import JsonDecoder

        return JsonDecoder(columns, **options)
    raise ConfigError(f"decode: format is {format!r}, expected json")
