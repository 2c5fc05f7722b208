"""A proxy between an S3 client and its server that loses, cuts and replaces answers, as planned.

It knows where a request and an answer end, so that an answer can be lost *after* the server has carried the
request out, which is what a client cannot tell from a request that never arrived.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of a socket whose closing sends RST."""


@dataclass(frozen=True)
class Request:
    """One request as the client sent it."""

    method: str
    path: str
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        found = re.search(rb"\r\n%b:[ \t]*(.*?)[ \t]*\r\n" % name.encode(), self.head, re.IGNORECASE)
        return found[1].decode() if found else ""


Send: TypeAlias = Callable[[Request], bytes]
"""Carries a request out and returns the server's answer."""
Fault: TypeAlias = Callable[[Request, Send], bytes]
"""Returns what the client receives; unless that is whole, the connection is reset then."""


def lose(request: Request, send: Send) -> bytes:
    """The server carries the request out; its answer never arrives."""
    send(request)
    return b""


def drop(request: Request, send: Send) -> bytes:
    """The request never arrives."""
    return b""


def cut(request: Request, send: Send) -> bytes:
    """The answer ends in the middle of its body."""
    answer = send(request)
    end = answer.index(b"\r\n\r\n") + 4
    return answer[: end + (len(answer) - end) // 2]


def answer(status: int, code: str) -> Fault:
    """An error of S3 instead of what the server would say, which is not asked."""
    body = b"<Error><Code>%b</Code><Message>planned</Message></Error>" % code.encode()
    head = b"HTTP/1.1 %d Planned\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n"
    return lambda request, send: head % (status, len(body)) + body


class FaultyProxy:
    """Listens at :attr:`endpoint` and passes everything on to `upstream`, but for planned faults.

    With a `tls` context it speaks that with its clients, as ``localhost``, and plain text with the server.

    Examples
    --------
    >>> with FaultyProxy("http://127.0.0.1:9000") as proxy:  # doctest: +SKIP
    ...     proxy.plan("PUT", lose)
    """

    def __init__(self, upstream: str, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        place = "https://localhost" if tls else "http://127.0.0.1"
        self.endpoint = f"{place}:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._planned: list[tuple[str, Fault]] = []
        self._requests: list[Request] = []
        self._open: set[socket.socket] = set()

    def plan(self, method: str, *faults: Fault) -> None:
        """Let the next requests with `method` fail like this, one fault each."""
        with self._lock:
            self._planned += [(method, fault) for fault in faults]

    @property
    def requests(self) -> list[Request]:
        """What has arrived so far."""
        with self._lock:
            return [*self._requests]

    @property
    def pending(self) -> int:
        """Planned faults that have not struck yet."""
        with self._lock:
            return len(self._planned)

    def clear(self) -> None:
        """Forget requests and plans."""
        with self._lock:
            self._planned.clear()
            self._requests.clear()

    def disconnect(self) -> None:
        """Close every connection, as a server does with idle ones."""
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._accept, name="s3-proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.disconnect()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), name="s3-proxy", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._open.add(client)
        try:
            with client, contextlib.suppress(OSError), socket.create_connection(self._upstream) as server:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls:
                    client = self._tls.wrap_socket(client, server_side=True)
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._pass_on(client, server)
        finally:
            with self._lock:
                self._open.discard(client)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        def send(request: Request) -> bytes:
            head = re.sub(rb"\r\nexpect:[^\r]*", b"", request.head, flags=re.IGNORECASE)
            server.sendall(head + request.body)
            return _read_answer(server, request.method)

        for request in _requests(client):
            fault = self._note(request)
            if fault is None:
                client.sendall(send(request))
                continue
            reply = fault(request, send)
            if request.method == "HEAD" and reply:
                reply = reply[: reply.index(b"\r\n\r\n") + 4]
            client.sendall(reply)
            if not _is_whole(reply, request.method):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                return

    def _note(self, request: Request) -> Fault | None:
        with self._lock:
            self._requests.append(request)
            for index, (method, fault) in enumerate(self._planned):
                if method == request.method:
                    del self._planned[index]
                    return fault
        return None


def _requests(client: socket.socket) -> Iterator[Request]:
    while head := _read_head(client):
        method, path, _ = head.split(b" ", 2)
        if re.search(rb"\r\nexpect:", head, re.IGNORECASE):
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        yield Request(method.decode(), path.decode(), head, _read_body(client, head))


def _read_answer(server: socket.socket, method: str) -> bytes:
    head = _read_head(server)
    if not head:
        raise ConnectionError("the server has closed the connection")
    if method == "HEAD" or head[9:12] in (b"204", b"304"):
        return head
    return head + _read_body(server, head)


def _is_whole(reply: bytes, method: str) -> bool:
    head, end, body = reply.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length:[ \t]*(\d+)", head, re.IGNORECASE)
    return bool(end) and (method == "HEAD" or length is None or int(length[1]) == len(body))


def _read_head(source: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):  # a byte at a time: what follows is not ours to take
        byte = source.recv(1)
        if not byte:
            return b""
        head += byte
    return head


def _read_body(source: socket.socket, head: bytes) -> bytes:
    if re.search(rb"\r\ntransfer-encoding:[ \t]*chunked", head, re.IGNORECASE):
        return _read_chunked(source)
    length = re.search(rb"\r\ncontent-length:[ \t]*(\d+)", head, re.IGNORECASE)
    return _read_exactly(source, int(length[1])) if length else b""


def _read_chunked(source: socket.socket) -> bytes:
    raw = b""
    while True:
        line = b""
        while not line.endswith(b"\r\n"):
            line += _read_exactly(source, 1)
        size = int(line.split(b";")[0], 16)
        raw += line + _read_exactly(source, size + 2)
        if not size:
            return raw


def _read_exactly(source: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = source.recv(size - len(data))
        if not part:
            raise ConnectionError("cut off")
        data += part
    return bytes(data)
