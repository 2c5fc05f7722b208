"""A proxy between Kafka's clients and a broker that cuts connections, at chosen requests if need be."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Literal, Self, TypeAlias

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of a socket whose closing sends RST."""
OFFSET_COMMIT = 8
"""Its number in the protocol: https://kafka.apache.org/protocol#protocol_api_keys."""

Loss: TypeAlias = Literal["request", "answer"]


@dataclass(eq=False)
class _Link:
    client: socket.socket
    server: socket.socket
    lost: threading.Event = field(default_factory=threading.Event)
    """What the broker answers from now on does not arrive."""

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        for each in (self.client, self.server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


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

    def cut(self) -> None:
        """Cut all connections."""
        with self._lock:
            for link in self._links:
                link.cut()

    def cut_at(self, request: int, loses: Loss) -> None:
        """Cut the connection of the next such request: before the broker has it, or when it has done it."""
        with self._lock:
            self._planned.append((request, loses))

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
                link.client.sendall(data)
        link.cut()

    def _plan(self, number: int) -> Loss | None:
        with self._lock:
            for index, (request, loss) in enumerate(self._planned):
                if request == number:
                    del self._planned[index]
                    return loss
        return None
