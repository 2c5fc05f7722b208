"""Avro: with a schema's number (Confluent), its fingerprint (single object encoding), or neither."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.assemble import joined
from streamzarr.feeds.decode.avro_schema import AvroSchema
from streamzarr.feeds.decode.base import Decoded
from streamzarr.feeds.decode.layout import Layout, Unknown
from streamzarr.feeds.decode.objects import Malformed, ObjectDecoder
from streamzarr.feeds.decode.registry import Registry, numbered
from streamzarr.limits import DEFAULT_LIMITS, Limits

Framing = Literal["confluent", "single", "none"]
SINGLE: Final = b"\xc3\x01"
"""How a message in single object encoding begins; the fingerprint of its schema follows."""
FINGERPRINT: Final = 8


class AvroDecoder:
    r"""Decodes Avro by the schema that each message was written with. Owned by one thread.

    Columns are found by name: fields that came, went or moved in the schema change nothing. Times have the
    units of the schema.

    Parameters
    ----------
    columns
        By name.
    schema
        A schema, or several: JSON, or what JSON gives. Those by which messages are written.
    registry
        URL of a schema registry; schemas are then found there by their numbers.
    framing
        What is before the record: ``confluent`` (usual with a registry), ``single``, or ``none``.
    records, unknown
        As of ``JsonDecoder``.
    limits
        Bounds of a message.

    Examples
    --------
    >>> schema = {"type": "record", "name": "Tick", "fields": [{"name": "bid", "type": "double"}]}
    >>> decode = AvroDecoder({"bid": ColumnSpec("bid", "f8")}, schema=schema, framing="none")
    >>> decode([b"\x00\x00\x00\x00\x00\x00\xf8\x3f", b""]).bad
    {1: 'avro: ends in the midst of a record'}
    """

    def __init__(
        self,
        columns: Mapping[str, ColumnSpec],
        *,
        schema: Any = None,
        registry: str | None = None,
        framing: Framing | None = None,
        records: str | None = None,
        unknown: Unknown = "ignore",
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        try:
            import fastavro  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                "decode: format 'avro' needs the package fastavro: pip install 'streamzarr[avro]'"
            ) from error
        self._columns, self._records, self._unknown, self._limits = columns, records, unknown, limits
        self._registry = None if registry is None else Registry(registry)
        self._framing = framing or ("single" if self._registry is None else "confluent")
        if self._framing not in ("confluent", "single", "none"):
            raise ConfigError(f"avro: framing is {framing!r}, expected 'confluent', 'single' or 'none'")
        if (self._framing == "confluent") == (self._registry is None) or (
            self._registry is None and not schema
        ):
            raise ConfigError("avro: expected registry, with framing 'confluent', or else schema")
        self._decoders: dict[Any, ObjectDecoder] = {}
        self._refused: dict[int, str] = {}
        """Schemas of the registry that cannot be used, and why: found out once, not by each message."""
        given = schema if isinstance(schema, list) and self._framing == "single" else [schema]
        for number, each in enumerate([] if schema is None else given):
            self._add(each, f"schema {number}" if len(given) > 1 else "schema")
        self._decoders.setdefault("unknown", self._decoder(None))

    def __call__(self, values: Sequence[bytes | None]) -> Decoded:
        """Return the rows of `values`."""
        parts = []
        first = 0
        bodies: list[bytes | None] = []
        current = None
        for index, value in enumerate(values):
            decoder, body = self._split(value)
            if decoder is not current and bodies:
                assert current is not None
                parts.append((first, current(bodies)))
                first, bodies = index, []
            current = decoder
            bodies.append(body)
        if current is None:
            return self._decoders["unknown"]([])
        parts.append((first, current(bodies)))
        return joined(parts, list(self._columns))

    def _split(self, value: bytes | None) -> tuple[ObjectDecoder, bytes | None]:
        """Return what decodes a message, and what of it that takes."""
        if value is None:
            return self._decoders["unknown"], None
        if self._framing == "none":
            return self._decoders["only"], value
        if self._framing == "single":
            end = len(SINGLE) + FINGERPRINT
            known = self._decoders.get(value[len(SINGLE) : end]) if value.startswith(SINGLE) else None
            return (self._decoders["unknown"], value) if known is None else (known, value[end:])
        try:
            number, body = numbered(value)
            return self._registered(number), body
        except Malformed:
            return self._decoders["unknown"], value

    def _registered(self, number: int) -> ObjectDecoder:
        if (known := self._decoders.get(number)) is not None:
            return known
        if (why := self._refused.get(number)) is not None:
            raise Malformed(why)
        assert self._registry is not None
        found, where = self._registry.schema(number), f"schema {number} of the registry"
        try:
            if found.kind != "AVRO":
                raise ConfigError(f"{where} is {found.kind}, expected AVRO")
            made = self._decoder(AvroSchema.of(found.text, where, found.others))
        except ConfigError as error:
            self._refused[number] = str(error)
            raise Malformed(str(error)) from error
        self._decoders[number] = made
        return made

    def _add(self, given: Any, where: str) -> None:
        import fastavro

        schema = AvroSchema.of(given, where)
        key: Any = "only"
        if self._framing == "single":
            canonical = fastavro.schema.to_parsing_canonical_form(schema.document)
            key = bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
        self._decoders[key] = self._decoder(schema)

    def _decoder(self, schema: AvroSchema | None) -> ObjectDecoder:
        """Return what decodes records of a schema; of None, what says why there is none."""
        columns, meant = self._columns, {}
        if schema is not None:
            columns = schema.columns(self._columns, self._records)
            meant = schema.meant(columns, self._records)
        layout = Layout(columns, self._records, self._unknown, self._limits.max_message_records, meant)
        parse = self._explain if schema is None else _Parser(schema)
        failures = (EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError, ArithmeticError)
        return ObjectDecoder("avro", parse, layout, failures, self._limits.max_message_bytes)

    def _explain(self, value: bytes) -> Any:
        if self._framing == "confluent":
            self._registered(numbered(value)[0])
        head = value[: len(SINGLE) + FINGERPRINT].hex()
        raise Malformed(f"begins with 0x{head}, which is the fingerprint of none of the schemas")


class _Parser:
    """Parses the record of one message."""

    def __init__(self, schema: AvroSchema) -> None:
        self._schema = schema.parsed

    def __call__(self, value: bytes) -> Any:
        import fastavro

        source = io.BytesIO(value)
        try:
            record = fastavro.schemaless_reader(source, self._schema, None)
        except (EOFError, IndexError) as error:
            raise Malformed("ends in the midst of a record") from error
        if source.tell() != len(value):
            raise Malformed(f"got {len(value) - source.tell()} bytes behind the record")
        return record
