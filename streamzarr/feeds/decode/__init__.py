"""From the bytes of messages to columns.

=================  ===========================================================================
``base``           :class:`Decoded`: rows by columns; :class:`Decoder`: what makes them
``json_`` ...      a decoder for each format; ``compression``: before any of them
``objects``        formats whose messages are parsed one by one; ``layout``: what is where
``json_arrow``     JSON by whole batches, where nothing in them is odd
``values``         a column as a format gave it; ``texts``: of texts; ``paths``: where it was
``convert``        from there to the column that the feed wants; ``kinds``: by its dtype
``assemble``       the rows of the good messages, the reasons of the bad
=================  ===========================================================================

A message is untrusted input: its size, nesting, records and what it decompresses to are bounded
(:class:`streamzarr.limits.Limits`), and it names no code.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Final, cast

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.base import Decoded, Decoder
from streamzarr.limits import DEFAULT_LIMITS, Limits

__all__ = ["Decoded", "Decoder", "known_formats", "open_decoder"]

ENTRY_POINTS: Final = "streamzarr.decoders"
_FORMATS: Final = {
    "arrow": "streamzarr.feeds.decode.arrow_ipc:ArrowDecoder",
    "avro": "streamzarr.feeds.decode.avro:AvroDecoder",
    "csv": "streamzarr.feeds.decode.csv_:CsvDecoder",
    "json": "streamzarr.feeds.decode.json_:JsonDecoder",
    "msgpack": "streamzarr.feeds.decode.msgpack:msgpack_decoder",
    "protobuf": "streamzarr.feeds.decode.protobuf:ProtobufDecoder",
    "struct": "streamzarr.feeds.decode.struct_:StructDecoder",
}


def known_formats() -> list[str]:
    """Names of all formats that :func:`open_decoder` takes, sorted."""
    return sorted({*_FORMATS, *entry_points(group=ENTRY_POINTS).names})


def open_decoder(
    format: str,  # noqa: A002
    columns: Mapping[str, ColumnSpec],
    *,
    compression: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    **options: Any,
) -> Decoder:
    """Return the decoder of a format for the columns of a feed.

    Parameters
    ----------
    format
        ``arrow``, ``avro``, ``csv``, ``json``, ``msgpack``, ``protobuf``, ``struct``, or the name of an entry
        point of the group ``streamzarr.decoders``: a function of `columns`, ``limits`` and its own options.
    columns
        By name.
    compression
        Of each message's value as a whole: ``gzip``, ``zstd``, ``lz4`` (frames) or ``snappy`` (blocks).
    limits
        Bounds of a message.
    options
        Of the format.

    Raises
    ------
    streamzarr.errors.ConfigError
        There is no such format or option, a column cannot be decoded, or a package is not installed.

    Examples
    --------
    >>> decode = open_decoder("csv", {"bid": ColumnSpec("bid", "f8"), "ask": ColumnSpec("ask", "f8")})
    >>> decode([b"1.5,1.75"]).columns["ask"]
    array([1.75])
    """
    make = _factory(format)
    known = inspect.signature(make).parameters
    names = [name for name in known if name not in ("columns", "limits")]
    if not any(each.kind is each.VAR_KEYWORD for each in known.values()) and (
        strange := set(options) - {*names}
    ):
        raise ConfigError(
            f"decode: format {format!r} has no option {min(strange)!r}, expected compression"
            + "".join(f", {name}" for name in names)
        )
    needed = [name for name in names if known[name].kind is inspect.Parameter.KEYWORD_ONLY]
    if missing := [
        name for name in needed if known[name].default is known[name].empty and name not in options
    ]:
        raise ConfigError(f"decode: format {format!r} needs {' and '.join(missing)}")
    try:
        decoder = make(columns, limits=limits, **options)
    except ConfigError:
        raise
    except (TypeError, ValueError, AttributeError) as error:  # of an option that is of another type
        given = ", ".join(options) or "no options"
        reason = _no_texts(options, known) or error
        raise ConfigError(f"decode: format {format!r} cannot be used with such {given}: {reason}") from error
    if compression is None:
        return decoder
    from streamzarr.feeds.decode.compression import Decompressing

    return Decompressing(compression, decoder, limits)


def _no_texts(options: Mapping[str, Any], known: Mapping[str, inspect.Parameter]) -> str:
    """Return which options are to be texts and are not; empty: none, or it is not known."""
    texts = {name for name, each in known.items() if each.annotation in (str, "str", "str | None")}
    wrong = [name for name, value in options.items() if name in texts and not isinstance(value, str)]
    return "; ".join(f"{name} is {options[name]!r}, expected a text" for name in wrong)


def _factory(name: str) -> Callable[..., Decoder]:
    if name in _FORMATS:
        module, _, attribute = _FORMATS[name].partition(":")
        return cast("Callable[..., Decoder]", getattr(importlib.import_module(module), attribute))
    for point in entry_points(group=ENTRY_POINTS, name=name):
        return cast("Callable[..., Decoder]", point.load())
    raise ConfigError(f"decode: format is {name!r}, expected one of {', '.join(known_formats())}")
