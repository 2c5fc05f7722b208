"""Our signatures are botocore's, and those of the examples that AWS publishes."""

import datetime as dt

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.stores.s3_direct import _quoted
from streamzarr.stores.s3_sign import NO_BODY, Signer, canonical_query, signing_key

ACCESS, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
EXAMPLE = {"host": "examplebucket.s3.amazonaws.com", "x-amz-date": "20130524T000000Z"}

printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
keys = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60)
moments = st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2099, 12, 31)).map(
    lambda moment: moment.replace(microsecond=0)
)


@pytest.mark.parametrize(
    ("method", "path", "headers", "signature"),
    [
        (
            "GET",
            "/test.txt",
            {"range": "bytes=0-9", "x-amz-content-sha256": NO_BODY},
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test%24file.text",
            {
                "date": "Fri, 24 May 2013 00:00:00 GMT",
                "x-amz-content-sha256": "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
                "x-amz-storage-class": "REDUCED_REDUNDANCY",
            },
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
    ],
)
def test_the_examples_of_the_s3_reference(method, path, headers, signature):
    got = Signer("us-east-1").authorization(method, path, EXAMPLE | headers, ACCESS, SECRET)
    assert got == (
        f"AWS4-HMAC-SHA256 Credential={ACCESS}/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders={';'.join(sorted(EXAMPLE | headers))}, Signature={signature}"
    )


def test_the_example_of_a_signing_key():
    key = signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20120215", "us-east-1", "iam")
    assert key.hex() == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"


def by_botocore(method, url, headers, credentials, region, moment):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth, "get_current_datetime", lambda: moment)
        request = AWSRequest(method=method, url=url, headers=headers)
        auth.S3SigV4Auth(credentials, "s3", region).add_auth(request)
    return dict(request.headers.items())


@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "DELETE", "POST"]),
    key=keys,
    query=st.dictionaries(keys, keys, max_size=3),
    host=st.sampled_from(["127.0.0.1:9000", "lab.s3.eu-north-1.amazonaws.com", "localhost"]),
    region=st.sampled_from(["us-east-1", "eu-north-1"]),
    condition=st.dictionaries(
        st.sampled_from(["Range", "If-Match", "If-None-Match", "x-amz-meta-streamzarr-put"]), printable
    ),
    access=printable,
    secret=printable,
    token=st.none() | printable,
    moment=moments,
)
def test_every_signature_is_botocores(
    method, key, query, host, region, condition, access, secret, token, moment
):
    path, asked = f"/bucket/{_quoted(key)}", canonical_query(query)
    url = f"http://{host}{path}" + (f"?{asked}" if asked else "")
    theirs = by_botocore(method, url, condition, Credentials(access, secret, token), region, moment)
    signed = {"host": host, **{name.lower(): value for name, value in theirs.items()}}
    expected = signed.pop("authorization")
    assert Signer(region).authorization(method, path, signed, access, secret, asked) == expected


@given(st.lists(st.tuples(st.sampled_from(["one", "two"]), st.sampled_from(["20130524", "20130525"]))))
def test_the_kept_key_follows_secret_and_day(uses):
    kept = Signer("us-east-1")
    for secret, day in uses:
        headers = EXAMPLE | {"x-amz-date": f"{day}T000000Z", "x-amz-content-sha256": NO_BODY}
        fresh = Signer("us-east-1").authorization("GET", "/a", headers, ACCESS, secret)
        assert kept.authorization("GET", "/a", headers, ACCESS, secret) == fresh
