"""A proxy between Kafka's clients and a broker that cuts connections, or has a chosen request refused."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Literal, Self, TypeAlias

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of a socket whose closing sends RST."""
PRODUCE, OFFSET_COMMIT = 0, 8
"""Their numbers in the protocol: https://kafka.apache.org/protocol#protocol_api_keys."""
NOWHERE = struct.pack(">i", 0x7A6F7578)
"""A partition that no topic has."""

Loss: TypeAlias = Literal["request", "answer"]


@dataclass(eq=False)
class _Link:
    client: socket.socket
    server: socket.socket
    lost: threading.Event = field(default_factory=threading.Event)
    """What the broker answers from now on does not arrive."""
    astray: bytes | None = None
    """Partition whose records were sent nowhere; the answer is told as if it were of that."""

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        for each in (self.client, self.server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@dataclass(eq=False)
class Refusal:
    """A produce request that the broker refuses."""

    topic: bytes
    seconds: float
    arrived: threading.Event = field(default_factory=threading.Event)

    def misdirected(self, request: bytearray) -> bytes:
        """Change the partition of `request` to one that is not there; return which it was."""
        start = request.index(self.topic) + len(self.topic) + 1  # behind the count of partitions
        partition = bytes(request[start : start + 4])
        request[start : start + 4] = NOWHERE
        return partition


class KafkaProxy:
    """Listens at :attr:`address`, which the broker has to advertise, and passes everything on.

    Threads: any may call any method; two of its own for each connection.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.upstream: tuple[str, int] | None = None
        """Where the broker listens; nobody is let through before that is known."""
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._planned: list[tuple[int, Loss]] = []
        self._refusal: Refusal | None = None

    def cut(self) -> None:
        """Cut all connections."""
        with self._lock:
            for link in self._links:
                link.cut()

    def cut_at(self, request: int, loses: Loss) -> None:
        """Cut the connection of the next such request: before the broker has it, or when it has done it."""
        with self._lock:
            self._planned.append((request, loses))

    def refuse(self, topic: str, seconds: float) -> threading.Event:
        """Have the broker refuse the next records for `topic`, as one that has yet to make their partition.

        They wait for the client's next request on that connection, for `seconds` at most; the event tells
        that they are here.
        """
        with self._lock:
            self._refusal = Refusal(topic.encode(), seconds)
            return self._refusal.arrived

    @property
    def pending(self) -> int:
        """Cuts that are planned and have not struck."""
        return len(self._planned)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="kafka-proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), name="kafka-proxy", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if self.upstream is None:
                return
            with socket.create_connection(self.upstream) as server:
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                link = _Link(client, server)
                with self._lock:
                    self._links.add(link)
                back = threading.Thread(target=self._answer, args=(link,), name="kafka-proxy", daemon=True)
                back.start()
                try:
                    self._ask(link)
                finally:
                    link.cut()
                    back.join()
                    with self._lock:
                        self._links.discard(link)

    def _ask(self, link: _Link) -> None:
        """Pass requests on, each as a whole: its size, then its number, then the rest."""
        pending = bytearray()
        while data := link.client.recv(1 << 16):
            pending += data
            while len(pending) >= 6:
                size, number = struct.unpack_from(">ih", pending)
                if len(pending) < 4 + size:
                    break
                if number == PRODUCE and (refusal := self._take_refusal()) is not None:
                    pending += self._following(link, refusal)
                    link.astray = refusal.misdirected(pending)
                loss = self._plan(number)
                if loss == "request":
                    return
                if loss == "answer":
                    link.lost.set()
                link.server.sendall(pending[: 4 + size])
                del pending[: 4 + size]

    def _answer(self, link: _Link) -> None:
        with contextlib.suppress(OSError):
            while (data := link.server.recv(1 << 16)) and not link.lost.is_set():
                if link.astray is not None:
                    data = data.replace(NOWHERE, link.astray)
                link.client.sendall(data)
        link.cut()

    def _following(self, link: _Link, refusal: Refusal) -> bytes:
        """Return what the client sends while its request waits."""
        refusal.arrived.set()
        link.client.settimeout(refusal.seconds)
        try:
            return link.client.recv(1 << 16)
        except TimeoutError:
            return b""
        finally:
            link.client.settimeout(None)

    def _take_refusal(self) -> Refusal | None:
        with self._lock:
            refusal, self._refusal = self._refusal, None
        return refusal

    def _plan(self, number: int) -> Loss | None:
        with self._lock:
            for index, (request, loss) in enumerate(self._planned):
                if request == number:
                    del self._planned[index]
                    return loss
        return None
