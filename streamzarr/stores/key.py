"""Keys: what may name a value, on every store alike.

A key is a relative path of segments joined by ``/``. From the Zarr v3 specification (section "Stores"): a
non-empty string that does not begin with ``/``. Further rules of ours, so that every key means the same on a
disk, in a bucket and in an archive, and cannot leave any of them:

- no segment is empty, ``.`` or ``..``; nothing is collapsed, a bad key is an error;
- no NUL and no backslash; the text has a UTF-8 form;
- a segment has at most 255 bytes, a key at most 1,024 (the bounds of file systems and of S3).

Names are compared byte by byte: the NFC and NFD forms of one text are two keys.
"""

from __future__ import annotations

from streamzarr.errors import ConfigError

MAX_SEGMENT_BYTES = 255
MAX_KEY_BYTES = 1024


def check_key(key: str) -> None:
    """Raise :class:`~streamzarr.errors.ConfigError` unless `key` can name a value.

    On the path of every read: an ordinary key costs a few substring searches and no allocation.

    Examples
    --------
    >>> check_key("level/0/c/1/2")
    >>> check_key("../secret")
    Traceback (most recent call last):
    streamzarr.errors.ConfigError: key '../secret': segment '..' is not allowed
    """
    if (
        key.isascii()
        and 0 < len(key) <= MAX_SEGMENT_BYTES
        and "./" not in key
        and "//" not in key
        and "\\" not in key
        and "\0" not in key
        and key[0] != "/"
        and key[-1] not in "/."
    ):
        return
    _check("key", key)


def check_prefix(prefix: str) -> None:
    """Raise :class:`~streamzarr.errors.ConfigError` unless `prefix` is ``""`` or has the form of a key.

    Examples
    --------
    >>> check_prefix("")
    >>> check_prefix("level/")
    Traceback (most recent call last):
    streamzarr.errors.ConfigError: prefix 'level/': empty segment; expected names joined by single '/'
    """
    if prefix:
        _check("prefix", prefix)


def is_key(text: str) -> bool:
    """Tell whether `text` can name a value; listings leave out names for which this is false."""
    try:
        check_key(text)
    except ConfigError:
        return False
    return True


def below(prefix: str) -> str:
    """Return the text that every key below the directory path `prefix` begins with.

    Examples
    --------
    >>> below("foo"), below("")
    ('foo/', '')
    """
    return f"{prefix}/" if prefix else ""


def _check(what: str, text: str) -> None:
    if not isinstance(text, str):
        raise TypeError(f"{what}: expected str, got {type(text).__name__}")
    shown = repr(text) if len(text) <= 200 else f"{text[:200]!r}..."
    for bad, name in (("\0", "NUL"), ("\\", "a backslash")):
        if bad in text:
            raise ConfigError(f"{what} {shown}: holds {name}; expected names joined by '/'")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ConfigError(f"{what} {shown}: has no UTF-8 form") from error
    if size > MAX_KEY_BYTES:
        raise ConfigError(f"{what} {shown}: {size} bytes, expected at most {MAX_KEY_BYTES}")
    for segment in text.split("/"):
        if not segment:
            raise ConfigError(f"{what} {shown}: empty segment; expected names joined by single '/'")
        if segment in (".", ".."):
            raise ConfigError(f"{what} {shown}: segment {segment!r} is not allowed")
        if len(segment.encode()) > MAX_SEGMENT_BYTES:
            raise ConfigError(f"{what} {shown}: a segment has over {MAX_SEGMENT_BYTES} bytes")
