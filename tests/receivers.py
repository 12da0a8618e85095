"""Misbehaving receivers: small socket servers on the loopback, with one thread per connection.

A behaviour is a function. The receiver calls it with a `Peer` for each connection:

    with Receiver(answering(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")) as receiver:
        http.post(receiver.url, ...)
    assert receiver.requests == [...]
"""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """One accepted connection. `number` counts the receiver's connections from 1."""

    def __init__(self, receiver: "Receiver", sock: socket.socket, number: int) -> None:
        self.receiver = receiver
        self.sock = sock
        self.number = number
        self._buffer = b""

    def read_request(self) -> bytes:
        """Reads, records and returns the next request's bytes: b"" once the client is gone."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._receive():
                return b""
        head, _, _ = self._buffer.partition(b"\r\n\r\n")
        lengths = [
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ]
        size = len(head) + 4 + sum(lengths)
        while len(self._buffer) < size:
            if not self._receive():
                return b""
        request, self._buffer = self._buffer[:size], self._buffer[size:]
        self.receiver.requests.append(request)
        return request

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Closes the connection with a reset, so that the client's next read fails."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait(self, seconds: float | None = None) -> bool:
        """Waits until the test ends, or for `seconds`. Returns True if the test has ended."""
        return self.receiver.stopped.wait(seconds)

    def _receive(self) -> bool:
        data = self.sock.recv(65536)
        self._buffer += data
        return bool(data)


Behaviour = Callable[[Peer], Any]


class Receiver:
    """Listens on `port`, or on a free port if it is 0, within a `with` block."""

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.closed = threading.Semaphore(0)  # released once per closed connection
        self.stopped = threading.Event()
        self._behaviour = behaviour
        self._context = context
        self._host = host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._socks: list[socket.socket] = []

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._context else 'http'}://{host}:{self.port}/hook"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopped.set()
        for sock in (self._listener, *self._socks):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads from it
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        while not self.stopped.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._socks.append(sock)
            thread = threading.Thread(
                target=self._serve, args=(sock, self.connections), daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):  # the client hung up, which it may do
            if self._context:
                sock = self._context.wrap_socket(sock, server_side=True)
                self._socks.append(sock)
            self._behaviour(Peer(self, sock, number))
        sock.close()
        self.closed.release()


def answering(answer: bytes = OK) -> Behaviour:
    """Answers every request and keeps the connection open."""

    def behave(peer: Peer) -> None:
        while peer.read_request():
            peer.send(answer)

    return behave


def closing(answer: bytes) -> Behaviour:
    """Answers one request, then closes the connection."""

    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.send(answer)

    return behave


def hanging(before: bytes = b"") -> Behaviour:
    """Sends the beginning of a response and then stays silent."""

    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.send(before)
        peer.wait()

    return behave


def dripping(before: bytes, drops: Iterator[bytes], every_s: float = 0.05) -> Behaviour:
    """Sends one drop every `every_s` seconds, so the response goes on but stays incomplete."""

    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.send(before)
        for drop in drops:
            if peer.wait(every_s):
                return
            peer.send(drop)

    return behave


def flooding(before: bytes, piece: bytes) -> Behaviour:
    """Sends `piece` again and again, as fast as it can, until the test ends."""

    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.send(before)
        while not peer.receiver.stopped.is_set():
            peer.send(piece)

    return behave
