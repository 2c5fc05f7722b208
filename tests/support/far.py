"""A way to a server that takes its time, as to another continent."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from typing import Self

CHUNK = 1 << 16


class Far:
    """Listens at :attr:`address`, and passes on what comes, `seconds` later, both ways."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.upstream: tuple[str, int] | None = None
        """Where the server listens."""

    def __enter__(self) -> Self:
        _start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                _start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            assert self.upstream is not None
            with socket.create_connection(self.upstream) as server:
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = _start(self._carry, server, client)
                self._carry(client, server)
                back.join()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        way: queue.Queue[tuple[float, bytes]] = queue.Queue()
        arriving = _start(_arrive, way, target)
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                way.put((time.monotonic() + self._seconds, data))
        way.put((0.0, b""))
        arriving.join()


def _arrive(way: queue.Queue[tuple[float, bytes]], target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while (item := way.get())[1]:
            threading.Event().wait(max(0.0, item[0] - time.monotonic()))
            target.sendall(item[1])
        target.shutdown(socket.SHUT_RDWR)


def _start(target: object, *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, name="far", daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread
