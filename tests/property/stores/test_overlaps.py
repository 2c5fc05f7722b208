"""Two places overlap exactly if one is the beginning of the other, however either is spelled."""

import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.stores import overlaps

NAMES = ["a", "b", "a.zarr", "x y", "é", "50%", "q?", "a#"]
places = st.lists(st.sampled_from(NAMES), max_size=4).map(tuple)


@pytest.fixture(scope="module")
def base():
    """A directory of which some places exist, and which a symbolic link leads to."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "base"
        (root / "a" / "b").mkdir(parents=True)
        (root / "x y").mkdir()
        (root.parent / "link").symlink_to(root)
        (root / "a" / "up").symlink_to(root)
        yield root


def percent(draw, name):
    """Write some of the characters of `name` as %xx: those that must be, and others at will."""
    return "".join(
        quote(letter, safe="") if letter in "%?#" or draw(st.booleans()) else letter for letter in name
    )


@st.composite
def spelled(draw, place, *, encoded, detours):
    """Write the segments of `place` with what changes nothing in between."""
    parts = []
    for name in place:
        parts += draw(st.lists(st.sampled_from(detours), max_size=2))
        parts.append(percent(draw, name) if encoded else name)
    return "/".join(parts) + draw(st.sampled_from(["", "/", "//", "/."]))


@st.composite
def local(draw, base, place):
    encoded = draw(st.booleans())
    start = draw(st.sampled_from([base, base.parent / "link", base / "a" / "up", base / "new" / ".."]))
    path = f"{start}/{draw(spelled(place, encoded=encoded, detours=['.', '', 'b/..']))}"
    if not encoded:
        return path
    scheme = draw(st.sampled_from(["file://", "FILE://", "File://localhost", "zip://", "file:///"]))
    return scheme + path + draw(st.sampled_from(["", "?fsync=false"]))


@given(st.data(), places, places)
def test_local_places(base, data, one, other):
    a, b = data.draw(local(base, one)), data.draw(local(base, other))
    assert overlaps(a, b) is overlaps(b, a) is (one[: len(other)] == other[: len(one)])


@given(st.data(), places, places)
def test_places_elsewhere(data, one, other):
    def url(place):
        scheme = data.draw(st.sampled_from(["s3://", "S3://"]))
        path = data.draw(spelled(place, encoded=True, detours=[".", "", "b/.."]))
        options = data.draw(
            st.permutations(["region=x", "endpoint_url=http://127.0.0.1:1", "anonymous=true"])
        )
        return f"{scheme}lab/{path}" + data.draw(st.sampled_from(["", "?" + "&".join(options)]))

    a, b = url(one), url(other)
    assert overlaps(a, b) is overlaps(b, a) is (one[: len(other)] == other[: len(one)])
