"""The few documents of S3's protocol that go with many keys: a page of a listing, and a deletion."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
_NO_XML = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What cannot stand in XML 1.0, or not as it is."""


@dataclass(frozen=True, slots=True)
class ListPage:
    """One answer to a listing."""

    keys: tuple[tuple[str, int], ...]
    """Each with the size of its value in bytes."""
    prefixes: tuple[str, ...]
    """Up to the delimiter, where one was given."""
    token: str | None
    """Asks for the next page; None at the end."""


def parse_page(document: bytes) -> ListPage | None:
    """Return what a ``ListBucketResult`` says; None when it is none.

    >>> parse_page(
    ...     b"<ListBucketResult><IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>"
    ...     b"<Contents><Key>a%20b</Key><Size>7</Size></Contents></ListBucketResult>"
    ... )
    ListPage(keys=(('a b', 7),), prefixes=(), token=None)
    """
    if b"<!DOCTYPE" in document:
        return None
    try:
        root = ET.fromstring(document)  # noqa: S314 - without a document type nothing is expanded
        space = _NAMESPACE if root.tag.startswith(_NAMESPACE) else ""
        if root.tag != f"{space}ListBucketResult":
            return None
        plain = unquote_plus if root.findtext(f"{space}EncodingType") == "url" else str
        token = root.findtext(f"{space}NextContinuationToken")
        more = {"true": True, "false": False}[root.findtext(f"{space}IsTruncated", "")]
        if more and not token:
            return None
        return ListPage(
            tuple(
                [
                    (plain(found.findtext(f"{space}Key", "")), int(found.findtext(f"{space}Size", "")))
                    for found in root.iterfind(f"{space}Contents")
                ]
            ),
            tuple(
                [
                    plain(found.findtext(f"{space}Prefix", ""))
                    for found in root.iterfind(f"{space}CommonPrefixes")
                ]
            ),
            token if more else None,
        )
    except (ET.ParseError, KeyError, ValueError):
        return None


def deletion(keys: Sequence[str]) -> bytes | None:
    r"""Return the ``Delete`` that names `keys`; None when one of them cannot stand in XML.

    >>> deletion(["a<b"])[-70:]
    b'03-01/"><Quiet>true</Quiet><Object><Key>a&lt;b</Key></Object></Delete>'
    >>> deletion(["a\nb"]) is None
    True
    """
    if any(map(_NO_XML.search, keys)):
        return None
    objects = "".join([f"<Object><Key>{escape(key)}</Key></Object>" for key in keys])
    space = _NAMESPACE.strip("{}")
    return f'<Delete xmlns="{space}"><Quiet>true</Quiet>{objects}</Delete>'.encode()


def all_deleted(document: bytes) -> bool:
    """Tell whether a ``DeleteResult`` names no key that could not be deleted."""
    return b"DeleteResult" in document and b"<Error" not in document
