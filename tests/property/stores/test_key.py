"""check_key's fast path decides as the rules in its module's docstring do."""

from hypothesis import example, given
from hypothesis import strategies as st

from streamzarr.stores.key import is_key

segments = st.sampled_from(
    ["", ".", "..", "a", "a.", ".a", "...", "c", "0", "\\", "\0", "é", "a" * 255, "a" * 256]
)
texts = st.one_of(
    st.lists(segments, max_size=8).map("/".join), st.text(alphabet="a./\\\0é", max_size=12), st.text()
)


def is_key_by_the_rules(text):
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return False
    parts = encoded.split(b"/")
    return (
        len(encoded) <= 1024
        and not any(bad in encoded for bad in (b"\0", b"\\"))
        and all(0 < len(part) <= 255 and part not in (b".", b"..") for part in parts)
    )


@given(texts)
@example("a" * 255)
@example("a" * 256)
@example("/".join(["a" * 127] * 8) + "/a")
def test_the_fast_path_agrees_with_the_rules(text):
    assert is_key(text) == is_key_by_the_rules(text)
