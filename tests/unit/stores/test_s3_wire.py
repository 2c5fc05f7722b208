"""The small HTTP client against a server that sends what the test says, byte by byte."""

import contextlib
import os
import socket
import ssl
import threading
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.stores import s3_wire
from streamzarr.stores.s3_wire import NotPlainError, Wire

ASK = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n"
PLAIN = b'HTTP/1.1 200 OK\r\nETag: "Ab"\r\nContent-Length: 10\r\n\r\n0123456789'


class Scripted:
    """Each connection is a list of answers, each a list of pieces sent one after the other."""

    def __init__(self, *connections, tls=None):
        self._connections = connections
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.received = []
        self.accepted = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.close()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def wire(self, tls=None, read_seconds=10.0):
        port = self._listener.getsockname()[1]
        return Wire("localhost", port, tls, connect_seconds=10, read_seconds=read_seconds)

    def _run(self):
        for answers in self._connections:
            with contextlib.suppress(OSError):
                client, _ = self._listener.accept()
                self.accepted += 1
                with client:
                    if self._tls:
                        client = self._tls.wrap_socket(client, server_side=True)
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._serve(client, answers)

    def _serve(self, client, answers):
        for pieces in answers:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                data = client.recv(1000)
                if not data:
                    return
                request += data
            self.received.append(request)
            for piece in pieces:
                if isinstance(piece, threading.Event):
                    piece.wait(20)
                else:
                    client.sendall(piece)


def test_an_answer_however_it_is_cut_into_packets():
    for size in (1, 7, len(PLAIN)):
        pieces = [PLAIN[start : start + size] for start in range(0, len(PLAIN), size)]
        with Scripted([pieces, pieces]) as server:
            wire = server.wire()
            answer = wire.ask(ASK)
            assert (answer.status, answer.size, answer.body) == (200, 10, b"0123456789")
            assert answer.field("etag") == '"Ab"'
            assert answer.field("content-range") == ""
            buffer = bytearray(12)
            assert wire.ask(ASK, memoryview(buffer)).size == 10
            assert buffer == b"0123456789\0\0"
            wire.close()
        assert server.received == [ASK, ASK]
        assert server.accepted == 1


def test_a_buffer_that_is_too_small_takes_the_beginning():
    with Scripted([[PLAIN]], [[PLAIN]]) as server:
        wire, buffer = server.wire(), bytearray(4)
        answer = wire.ask(ASK, memoryview(buffer))
        assert (answer.size, bytes(buffer)) == (10, b"0123")
        assert wire.ask(ASK).body == b"0123456789"  # on a connection without leftovers
        wire.close()


def test_the_body_of_an_error_stays_out_of_the_buffer():
    missing = b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone"
    with Scripted([[missing]]) as server:
        wire, buffer = server.wire(), bytearray(4)
        assert wire.ask(ASK, memoryview(buffer)).body == b"none"
        assert buffer == bytes(4)
        wire.close()


def test_a_header_without_body():
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 7000\r\n\r\n"
    with Scripted([[head], [head]]) as server:
        wire = server.wire()
        for _ in range(2):
            answer = wire.ask(ASK, bodiless=True)
            assert (answer.size, answer.field("content-length")) == (0, "7000")
        wire.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n01234",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        *[
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body
            for body in (
                b"",
                b"3\r\nab",
                b"3\r\nabc\r\n",
                b"3\r\nabcd\r\n0\r\n\r\n",
                b"-1\r\na\r\n0\r\n\r\n",
                b"0x1\r\na\r\n0\r\n\r\n",
                b"\r\na\r\n0\r\n\r\n",
                b"1\r\na\r\n0\r\nTrailer: x\r\n\r\n",
                b"fffffff\r\n",
                b"1" * 5000 + b"\r\n",
            )
        ],
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na",
        b"HTTP/1.1 200 OK\r\n\r\nto the end",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: \u00b2\r\n\r\n12".encode("latin-1"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na",
        b"HTTP/1.1 two OK\r\nContent-Length: 1\r\n\r\na",
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x-filler: y\r\n" * 10_000,
    ],
    ids=lambda answer: ascii(answer[:40]),
)
def test_what_is_not_plain_is_refused(answer):
    with Scripted([[answer]]) as server, pytest.raises(NotPlainError):
        server.wire().ask(ASK)
    assert server.accepted == 1  # the first answer of a connection is not asked for twice


@given(st.lists(st.binary(min_size=1, max_size=9000), max_size=4), st.integers(1, 5000))
def test_a_body_in_chunks_however_it_is_cut_into_packets(chunks, size):
    body = b"".join(b"%x;x=y\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n" + body
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)][:200]
    pieces.append(whole[sum(map(len, pieces)) :])
    with Scripted([pieces, [PLAIN]]) as server:
        wire = server.wire()
        assert wire.ask(ASK).body == b"".join(chunks)
        assert wire.ask(ASK).body == b"0123456789"  # nothing is left in the connection
        wire.close()


def test_no_content_has_no_length():
    with Scripted([[b"HTTP/1.1 204 No Content\r\n\r\n"], [PLAIN]]) as server:
        wire = server.wire()
        assert (wire.ask(ASK).status, wire.ask(ASK).body) == (204, b"0123456789")
        wire.close()


def test_what_is_not_modified_has_no_body_whatever_length_is_told():
    with Scripted([[b"HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n"], [PLAIN]]) as server:
        wire = server.wire()
        assert (wire.ask(ASK).status, wire.ask(ASK).body) == (304, b"0123456789")
        wire.close()


@pytest.mark.parametrize("size", [0, 10, s3_wire.JOINED_BYTES, s3_wire.JOINED_BYTES + 1, 3 << 20])
def test_a_body_is_sent_behind_its_header(size):
    value = memoryview(os.urandom(size))
    received = bytearray()

    def take(listener):
        client, _ = listener.accept()
        with client:
            while len(received) < len(ASK) + size:
                received.extend(client.recv(1 << 16))
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=take, args=(listener,), daemon=True)
        server.start()
        wire = Wire("127.0.0.1", listener.getsockname()[1], None, connect_seconds=10, read_seconds=10)
        assert wire.ask(ASK, body=value).status == 200
        wire.close()
        server.join(20)
    assert received == ASK + bytes(value)


def test_memory_is_taken_for_what_has_come_and_not_for_what_was_promised(monkeypatch):
    monkeypatch.setattr(s3_wire, "PIECE_BYTES", 1 << 20)
    promise = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"
    with Scripted([[promise, bytes(3 << 20)]]) as server:
        tracemalloc.start()
        try:
            with pytest.raises(NotPlainError, match="cut off"):
                server.wire().ask(ASK)
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()


def test_a_connection_closed_while_idle_is_replaced_once():
    with Scripted([[PLAIN]], [[PLAIN]], [[]]) as server:
        wire = server.wire()
        assert wire.ask(ASK).body == b"0123456789"
        assert wire.ask(ASK).body == b"0123456789"
        with pytest.raises(NotPlainError):  # closed again, and the new one without an answer
            wire.ask(ASK)
    assert server.accepted == 3


def test_a_server_that_says_close_is_believed():
    last = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na"
    with Scripted([[last], [PLAIN]], [[PLAIN]]) as server:
        wire = server.wire()
        assert wire.ask(ASK).body == b"a"
        assert wire.ask(ASK).body == b"0123456789"
        wire.close()
    assert server.accepted == 2


def test_silence_ends_with_the_timeout():
    go_on = threading.Event()
    with Scripted([[PLAIN[:-4], go_on]]) as server:
        try:
            with pytest.raises(OSError, match="unavailable"):
                server.wire(read_seconds=0.1).ask(ASK)
        finally:
            go_on.set()


def test_nothing_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        Wire("127.0.0.1", port, None, connect_seconds=1, read_seconds=1).ask(ASK)


def test_threads_have_connections_of_their_own():
    threads, rounds = 8, 20
    bodies = {}

    def echo(listener):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    def serve(client):
        with client, contextlib.suppress(OSError):
            while request := client.recv(1000):
                path = request.split(b" ")[1] * 2000
                client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(path), path))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=echo, args=(listener,), daemon=True).start()
        wire = Wire("127.0.0.1", listener.getsockname()[1], None, connect_seconds=10, read_seconds=10)

        def work(number):
            name = b"/%d" % number
            buffer = bytearray(4000)
            for _ in range(rounds):
                assert wire.ask(b"GET %b HTTP/1.1\r\n\r\n" % name).body == name * 2000
                assert wire.ask(b"GET %b HTTP/1.1\r\n\r\n" % name, memoryview(buffer)).size == 4000
                assert buffer == name * 2000
            bodies[number] = rounds

        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        wire.close()
        listener.shutdown(socket.SHUT_RDWR)
    assert bodies == dict.fromkeys(range(threads), rounds)


def test_tls_reads_the_same_and_trusts_nobody_else(certificate):
    cert, key = certificate
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(cert, key)
    value = os.urandom(300_000)
    big = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + value
    trusting = ssl.create_default_context(cafile=str(cert))
    with Scripted([[big], [big]], tls=server_side) as server:
        wire, buffer = server.wire(trusting), bytearray(300_000)
        assert wire.ask(ASK).body == value
        assert wire.ask(ASK, memoryview(buffer)).size == 300_000
        assert buffer == value
        wire.close()
    with Scripted([[big]], tls=server_side) as server, pytest.raises(ssl.SSLCertVerificationError):
        server.wire(ssl.create_default_context()).ask(ASK)
