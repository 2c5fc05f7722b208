"""HTTP/1.1 as plain requests to object servers need it: kept connections, bodies read where they belong.

``http.client`` parses headers as e-mail and reads bodies through a buffered file; for a chunk of 16 KiB that
is most of the time. Here a request is bytes, the header of its answer is searched for four fields, and the
body goes from the socket into the caller's buffer. What is not a plain answer, whose end is known, is refused
with :class:`NotPlainError`, for a complete client to deal with.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
from collections import deque
from dataclasses import dataclass
from functools import partial

MAX_IDLE = 64
"""Connections kept for later."""
HEAD_BYTES = 4096
"""What is read at once where a header is expected. The part of a body that comes with it is copied again."""
MAX_HEAD_BYTES = 64 << 10
"""Longest header of an answer."""
MAX_CHUNKED_BYTES = 32 << 20
"""Longest body whose length is not told in advance, such as that of a listing."""
JOINED_BYTES = 256 << 10
"""A request's body up to this size is sent along with its header, as one piece."""
PIECE_BYTES = 16 << 20
"""Largest piece for which memory is taken before it has arrived, whatever length the answer claims."""


_CHUNK_LENGTH = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")


class NotPlainError(Exception):
    """The answer was cut off, or is of a kind that this client does not read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Header and body of one answer."""

    status: int
    head: bytes
    """Header as it came, up to its empty line."""
    size: int
    """Length of the body in bytes."""
    body: bytes
    """The body; empty when it went into a buffer."""

    def field(self, name: str) -> str:
        """Return the value of the header field `name` (in lower case); ``""`` when it is absent."""
        return _field(self.head, self.head.lower(), name.encode())


class Wire:
    """Connections to one server. Thread-safe: each is used by one thread at a time; belongs to one process.

    Parameters
    ----------
    tls
        Context to encrypt with; ``None`` speaks in plain text.
    connect_seconds, read_seconds
        How long to wait for a connection, and for the next bytes of an answer.
    """

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None, *, connect_seconds: float, read_seconds: float
    ) -> None:
        self._open = partial(_Connection, host, port, tls, connect_seconds, read_seconds)
        self._idle: deque[_Connection] = deque()

    def ask(
        self,
        request: bytes,
        buffer: memoryview | None = None,
        *,
        body: bytes | memoryview = b"",
        bodiless: bool = False,
    ) -> Answer:
        """Send `request` and return the answer; blocks.

        Parameters
        ----------
        request
            Safe to send twice: it is, when a kept connection turns out to be closed.
        body
            Sent behind it.
        buffer
            Takes the body of a 200, as far as it has room; the rest of the body is thrown away.
        bodiless
            The answer has a header only, as to ``HEAD``.

        Raises
        ------
        NotPlainError
            See the module's docstring.
        OSError
            No connection, no answer in time, or it broke.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            pass
        else:
            try:
                return self._use(connection, request, body, buffer, bodiless)
            except _ClosedError:
                pass  # by the server, while nothing was asked: no answer of its own
        return self._use(self._open(), request, body, buffer, bodiless)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def _use(
        self,
        connection: _Connection,
        request: bytes,
        body: bytes | memoryview,
        buffer: memoryview | None,
        bodiless: bool,
    ) -> Answer:
        try:
            answer, reusable = connection.ask(request, body, buffer, bodiless)
        except BaseException:
            connection.close()
            raise
        if reusable and len(self._idle) < MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.close()
        return answer


class _ClosedError(NotPlainError):
    """The connection ended before the first byte of an answer."""


class _Connection:
    """One connection, used by one thread at a time."""

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None, connect_seconds: float, read_seconds: float
    ) -> None:
        plain = socket.create_connection((host, port), timeout=connect_seconds)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._socket = plain if tls is None else tls.wrap_socket(plain, server_hostname=host)
            # The kernel's timeouts: Python's own cost a poll() before every call, and forbid MSG_WAITALL.
            self._socket.settimeout(None)
            span = struct.pack("ll", int(read_seconds), int(read_seconds % 1 * 1e6))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)
        except BaseException:
            plain.close()
            raise
        self._flags = socket.MSG_WAITALL if tls is None else 0
        self._used = False

    def close(self) -> None:
        self._socket.close()

    def ask(
        self, request: bytes, body: bytes | memoryview, buffer: memoryview | None, bodiless: bool
    ) -> tuple[Answer, bool]:
        """Return the answer, and whether the connection can be used again."""
        head, rest = self._exchange(request, body)
        lower = head.lower()
        if not lower.startswith(b"http/1.1 ") or not head[9:12].isdigit():
            raise NotPlainError(f"not an answer of HTTP/1.1: {head[:20]!r}")
        status = int(head[9:12])
        reusable = _field(head, lower, b"connection") != "close"
        length = _field(head, lower, b"content-length")
        if bodiless or status == 304 or (status == 204 and not length):
            size = 0
        elif b"\r\ntransfer-encoding:" in lower:
            if length or _field(head, lower, b"transfer-encoding").lower() != "chunked":
                raise NotPlainError(f"status {status} without a length")
            whole = self._chunked(rest)
            if buffer is not None and status == 200:
                buffer[: len(whole)] = whole[: len(buffer)]
            return Answer(status, head, len(whole), whole), reusable
        else:
            if not (length.isascii() and length.isdigit()):
                raise NotPlainError(f"status {status} without a length")
            size = int(length)
        if len(rest) > size:
            raise NotPlainError("more bytes than the answer's length")
        if buffer is None or status != 200:
            return Answer(status, head, size, self._body(rest, size)), reusable
        room = min(size, len(buffer))
        came = min(len(rest), room)
        buffer[:came] = rest[:came]
        self._fill(buffer[came:room])
        return Answer(status, head, size, b""), reusable and room == size

    def _exchange(self, request: bytes, body: bytes | memoryview) -> tuple[bytes, bytes]:
        """Send; return the header of the answer, and what came of the body with it."""
        try:
            if len(body) <= JOINED_BYTES:
                self._socket.sendall(b"".join((request, body)) if body else request)
            else:
                self._socket.sendall(request)
                self._socket.sendall(body)
            data = self._socket.recv(HEAD_BYTES)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise (_ClosedError if self._used else NotPlainError)(str(error)) from error
        if not data:
            raise (_ClosedError if self._used else NotPlainError)("closed without an answer")
        self._used = True
        while (end := data.find(b"\r\n\r\n")) < 0:
            if len(data) > MAX_HEAD_BYTES:
                raise NotPlainError(f"a header of over {MAX_HEAD_BYTES} bytes")
            more = self._socket.recv(HEAD_BYTES)
            if not more:
                raise NotPlainError("cut off in the header")
            data += more
        return data[: end + 2], data[end + 4 :]

    def _chunked(self, data: bytes) -> bytes:
        """Return a body that comes in chunks (RFC 9112 §7.1); `data` is what has come of it."""
        parts: list[bytes] = []
        total = 0
        while True:
            while (end := data.find(b"\r\n")) < 0 and len(data) < HEAD_BYTES:
                data += self._more()
            length = _CHUNK_LENGTH.match(data)
            size = int(length[1], 16) if length else 0
            total += size
            if length is None or total > MAX_CHUNKED_BYTES:
                raise NotPlainError(f"no length of a chunk, or too large a one: {data[:20]!r}")
            data = data[end + 2 :]
            if not size:
                break
            while len(data) < size + 2:
                data += self._body(b"", size + 2 - len(data))
            if data[size : size + 2] != b"\r\n":
                raise NotPlainError("a chunk without an end")
            parts.append(data[:size])
            data = data[size + 2 :]
        while len(data) < 2:
            data += self._more()
        if data != b"\r\n":
            raise NotPlainError("fields behind the last chunk")
        return b"".join(parts)

    def _more(self) -> bytes:
        data = self._socket.recv(HEAD_BYTES)
        if not data:
            raise NotPlainError("cut off between chunks")
        return data

    def _body(self, rest: bytes, size: int) -> bytes:
        parts, left = [rest], size - len(rest)
        while left:
            part = self._socket.recv(min(left, PIECE_BYTES), self._flags)
            if not part:
                raise NotPlainError(f"cut off {left} of {size} bytes before the end")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def _fill(self, buffer: memoryview) -> None:
        while buffer:
            count = self._socket.recv_into(buffer, 0, self._flags)
            if not count:
                raise NotPlainError(f"cut off {len(buffer)} bytes before the end")
            buffer = buffer[count:]


def _field(head: bytes, lower: bytes, name: bytes) -> str:
    """Return the value of a header field; ``""`` when it is absent."""
    start = lower.find(b"\r\n%b:" % name)
    if start < 0:
        return ""
    start += len(name) + 3
    return head[start : head.index(b"\r\n", start)].strip().decode("latin-1")
