"""Store URLs: taken apart, joined with a path, and compared with the roots that a worker may touch.

``scheme://authority/path?option=value``. Paths are percent-decoded on the way in and encoded on the way out;
a text without ``://`` is a local path as it stands, with nothing decoded.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode

from streamzarr.errors import ConfigError
from streamzarr.redact import redacted
from streamzarr.stores.key import check_prefix

_SAFE_IN_PATH = "/:@!$&'()*+,;=~"


@dataclass(frozen=True, slots=True)
class StoreURL:
    """A store's URL in its parts, decoded; ``str()`` gives the URL back."""

    scheme: str
    """Lower case; ``file`` for a bare path."""
    authority: str = ""
    """Host, bucket or name; with user information where the URL has it."""
    path: str = ""
    """For ``file`` the path as given (absolute in a URL); for others without leading or trailing ``/``."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What follows ``?``."""

    @property
    def shown(self) -> str:
        """The URL for errors and people: what may be a secret is hidden."""
        return redacted(str(self))

    def __str__(self) -> str:
        path = str(Path(self.path).absolute()) if self.scheme == "file" else self.path
        path = quote(path, safe=_SAFE_IN_PATH, errors="surrogateescape")
        if path and not path.startswith("/"):
            path = f"/{path}"
        return f"{self.scheme}://{self.authority}{path}" + (
            f"?{urlencode(self.options)}" if self.options else ""
        )

    def reject_options(self, known: tuple[str, ...] = ()) -> None:
        """Raise :class:`~streamzarr.errors.ConfigError` when an option is not one of `known`."""
        for name in self.options:
            if name not in known:
                expected = f"one of {', '.join(known)}" if known else "none"
                raise ConfigError(f"store URL {self.shown}: unknown option {name!r}, expected {expected}")


def split_url(url: str | os.PathLike[str]) -> StoreURL:
    """Take a store's URL, or a local path, apart.

    Raises
    ------
    streamzarr.errors.ConfigError
        The text is no URL of a store, or a ``file://`` URL names a host.

    Examples
    --------
    >>> split_url("s3://lab/run%207/a.zarr?region=eu-north-1")
    StoreURL(scheme='s3', authority='lab', path='run 7/a.zarr', options={'region': 'eu-north-1'})
    >>> split_url("data/a.zarr")
    StoreURL(scheme='file', authority='', path='data/a.zarr', options={})
    """
    text = os.fspath(url)
    if not isinstance(text, str):
        raise TypeError(f"store URL: expected str, got {type(text).__name__}")
    if not text or "\0" in text:
        raise ConfigError(f"store URL {redacted(text)!r}: expected a path or scheme://...")
    scheme, mark, rest = text.partition("://")
    if not mark:
        return StoreURL("file", path=text)
    scheme = scheme.lower()
    if not scheme or not scheme.replace("+", "").replace("-", "").replace(".", "").isalnum():
        raise ConfigError(f"store URL {redacted(text)!r}: {scheme!r} is no scheme")
    rest, _, query = rest.partition("?")
    if "#" in rest or "#" in query:
        raise ConfigError(f"store URL {redacted(text)!r}: '#' must be written %23")
    authority, slash, path = rest.partition("/")
    path = unquote(path, errors="surrogateescape")
    if "\0" in path:
        raise ConfigError(f"store URL {redacted(text)!r}: the path holds NUL")
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:  # which quotes what may be a secret
        raise ConfigError(f"store URL {redacted(text)!r}: expected ?name=value&name=value") from None
    if scheme != "file":
        return StoreURL(scheme, authority, path.strip("/"), options)
    if authority not in ("", "localhost") or not slash:
        raise ConfigError(
            f"store URL {redacted(text)!r}: expected an absolute path, as in file:///data/a.zarr"
        )
    return StoreURL("file", path=f"/{path}", options=options)


def join_url(url: str | os.PathLike[str], path: str) -> str:
    """Return the URL of what lies at the key path `path` below `url`; ``""`` gives `url` back.

    Raises
    ------
    streamzarr.errors.ConfigError
        `path` has not the form of a key, so it may lead elsewhere.

    Examples
    --------
    >>> join_url("file:///a/b.zarr", "level/0")
    'file:///a/b.zarr/level/0'
    >>> join_url("s3://lab?region=eu-north-1", "x y")
    's3://lab/x%20y?region=eu-north-1'
    >>> join_url("b.zarr", "level/0")
    'b.zarr/level/0'
    """
    check_prefix(path)
    text = os.fspath(url)
    if not path:
        return text
    parts = split_url(text)
    base = parts.path.rstrip("/")
    joined = f"{base}/{path}" if parts.path else path
    if "://" not in text:
        return joined
    return str(StoreURL(parts.scheme, parts.authority, joined, parts.options))


def is_below(url: str | os.PathLike[str], root: str | os.PathLike[str]) -> bool:
    """Tell whether `url` names the place `root` or one below it, whatever spelling it uses.

    Local paths are compared after every symbolic link and ``..`` is resolved. Elsewhere scheme, authority and
    options (an endpoint, a region) must be equal, and the path must begin with the root's whole segments; one
    that holds ``..``, ``.`` or an empty segment is below nothing.

    Examples
    --------
    >>> is_below("/base/a.zarr", "/base"), is_below("/base-evil", "/base"), is_below("/base/../x", "/base")
    (True, False, False)
    >>> is_below("s3://lab/a/b", "s3://lab/a/"), is_below("s3://lab/a?endpoint_url=http://x", "s3://lab/")
    (True, False)
    """
    inner, outer = split_url(url), split_url(root)
    if inner.scheme != outer.scheme:
        return False
    if inner.scheme == "file":
        return _segments(os.path.realpath(inner.path), os.path.realpath(outer.path))
    if inner.authority != outer.authority or dict(inner.options) != dict(outer.options):
        return False
    if inner.scheme == "zip":
        return _segments(os.path.realpath(f"/{inner.path}"), os.path.realpath(f"/{outer.path}"))
    try:
        check_prefix(inner.path)
        check_prefix(outer.path)
    except ConfigError:
        return False
    return _segments(inner.path, outer.path)


def overlaps(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> bool:
    """Tell whether one of two places contains the other, or may: what writes to one then changes the other.

    Made for refusing, so that doubt is a yes. Local places are compared as the file system knows them, by
    device and inode: through symbolic links, bind mounts and ``..``; what is not there yet by its name below
    what is. What lies in a local file, as an archive does, is that file. Elsewhere scheme, authority and path
    alone count: one server has several addresses, so the options tell nothing apart.

    Examples
    --------
    >>> overlaps("/base/a.zarr", "file:///base"), overlaps("/base/a.zarr", "/base/../base/b.zarr")
    (True, False)
    >>> overlaps("zip:///base/a.zip/level/0", "/base/a.zip"), overlaps("s3://lab/a?region=eu", "s3://lab/a/b")
    (True, True)
    """
    first, second = split_url(a), split_url(b)
    if _is_local(first) and _is_local(second):
        one, other = (os.path.realpath(_local_path(url)) for url in (first, second))
        return _holds(one, other) or _holds(other, one)
    if first.scheme != second.scheme or _host(first) != _host(second):
        return False
    one, other = (posixpath.normpath(f"/{url.path.strip('/')}") for url in (first, second))
    return _segments(one, other) or _segments(other, one)


def _is_local(url: StoreURL) -> bool:
    """Tell whether `url` is a path of this machine; other schemes than ``file`` say so by naming no host."""
    return not url.authority and url.scheme != "memory"


def _local_path(url: StoreURL) -> str:
    return url.path if url.scheme == "file" else f"/{url.path}"


def _host(url: StoreURL) -> str:
    """Return the authority as far as it names a place: not the user, and host names in one case."""
    return url.authority if url.scheme == "memory" else url.authority.rpartition("@")[2].lower()


def _holds(outer: str, inner: str) -> bool:
    """Tell whether the absolute path `outer` is `inner` or a directory above it."""
    wanted = _identity(outer)
    return any(_identity(str(path)) == wanted for path in (Path(inner), *Path(inner).parents))


def _identity(path: str) -> tuple[int, int, tuple[str, ...]]:
    """Return device and inode of the nearest part of `path` that is there, and the names below it."""
    here, names = Path(path), tuple[str, ...]()
    while True:
        try:
            status = here.stat()
        except OSError:
            if here == here.parent:
                raise
            here, names = here.parent, (here.name, *names)
        else:
            return status.st_dev, status.st_ino, names


def _segments(inner: str, outer: str) -> bool:
    outer = outer.rstrip("/")
    return inner == outer or not outer or inner.startswith(f"{outer}/")
