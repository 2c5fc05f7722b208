"""The documents of S3 that are read and written without boto3: the same, and nothing else is believed."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.stores.s3_xml import ListPage, all_deleted, deletion, parse_page

PAGE = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
 <Name>b</Name><Prefix>a%2F</Prefix><KeyCount>3</KeyCount><MaxKeys>2</MaxKeys><EncodingType>url</EncodingType>
 <IsTruncated>true</IsTruncated><NextContinuationToken>to/ken=</NextContinuationToken>
 <Contents><Key>a/%C3%BC+%01</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>12</Size></Contents>
 <Contents><Key>a/c</Key><Size>0</Size></Contents>
 <CommonPrefixes><Prefix>a/d%20e/</Prefix></CommonPrefixes>
</ListBucketResult>"""


def test_a_page_of_a_listing():
    assert parse_page(PAGE) == ListPage((("a/ü \x01", 12), ("a/c", 0)), ("a/d e/",), "to/ken=")
    last = PAGE.replace(b"<IsTruncated>true", b"<IsTruncated>false").replace(
        b"<EncodingType>url</EncodingType>", b""
    )
    assert parse_page(last) == ListPage((("a/%C3%BC+%01", 12), ("a/c", 0)), ("a/d%20e/",), None)
    assert parse_page(PAGE.replace(b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', b"")) == parse_page(
        PAGE
    )


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        PAGE[:-10],
        PAGE.replace(b"<Size>12</Size>", b""),
        PAGE.replace(b"12", b"twelve"),
        PAGE.replace(b"<IsTruncated>true</IsTruncated>", b""),
        PAGE.replace(b"<NextContinuationToken>to/ken=</NextContinuationToken>", b""),
        PAGE.replace(b"ListBucketResult", b"Error"),
        PAGE.replace(b"<ListB", b'<!DOCTYPE x [<!ENTITY a "aaaa">]><ListB'),
    ],
)
def test_what_is_no_page_is_left_to_boto3(document):
    assert parse_page(document) is None


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20), max_size=5))
def test_a_deletion_names_its_keys_or_is_left_to_boto3(keys):
    document = deletion(keys)
    if document is not None:
        root = ET.fromstring(document)
        assert [found.text for found in root.iter("{http://s3.amazonaws.com/doc/2006-03-01/}Key")] == keys


def test_what_xml_cannot_hold_is_left_to_boto3():
    assert deletion(["a\x01"]) is deletion(["a\r\n"]) is deletion(["a\uffff"]) is None
    assert deletion(["ü&<>\"'"]) is not None


def test_only_an_answer_without_errors_says_that_all_is_deleted():
    assert all_deleted(b"<?xml version='1.0'?><DeleteResult></DeleteResult>")
    assert not all_deleted(
        b"<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code></Error></DeleteResult>"
    )
    assert not all_deleted(b"<Error><Code>InternalError</Code></Error>")
    assert not all_deleted(b"")
