"""A name server on the loopback with answers that the test chooses."""

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from dnslib import AAAA, CNAME, QTYPE, RCODE, RR, A, DNSError, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer

# Called with a name, without the final dot, and "A" or "AAAA". Returns its aliases ("-> name") and
# then its addresses; an empty list if the name does not exist; SERVFAIL; or None to stay silent.
Answer = Callable[[str, str], "list[str] | None"]
SERVFAIL = ["SERVFAIL"]


class NameServer:
    """Listens on a free port, over UDP and TCP, within a `with` block."""

    def __init__(self, answer: Answer) -> None:
        self.asked: list[str] = []
        self._answer = answer
        self._lock = threading.Lock()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._udp = self._server(tcp=False)
        self._tcp = self._server(tcp=True)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make a gevent worker ask this name server only."""
        return {
            "GEVENT_RESOLVER": "ares",
            "GEVENTARES_SERVERS": "127.0.0.1",
            "GEVENTARES_UDP_PORT": str(self.port),
            "GEVENTARES_TCP_PORT": str(self.port),
        }

    def __enter__(self) -> Self:
        for server in (self._udp, self._tcp):
            server.start_thread()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in (self._udp, self._tcp):
            server.stop()
            server.server.server_close()

    def reply(self, request: DNSRecord) -> DNSRecord:
        reply = request.reply()
        name, kind = str(request.q.qname).rstrip("."), QTYPE[request.q.qtype]
        with self._lock:  # an answer may depend on the number of earlier lookups
            if kind == "A":  # a lookup asks for A and AAAA; count it once
                self.asked.append(name)
            answers = self._answer(name, kind)
        if answers is None:
            raise DNSError("silence")
        for answer in answers:
            if answer == "SERVFAIL":
                reply.header.rcode = RCODE.SERVFAIL
            elif answer.startswith("-> "):
                other = answer.removeprefix("-> ")
                reply.add_answer(RR(name, QTYPE.CNAME, rdata=CNAME(other), ttl=0))
                name = other
            else:
                data = A(answer) if kind == "A" else AAAA(answer)
                reply.add_answer(RR(name, request.q.qtype, rdata=data, ttl=0))
        if not answers and kind == "A":
            reply.header.rcode = RCODE.NXDOMAIN
        return reply

    def _server(self, tcp: bool) -> DNSServer:
        return DNSServer(
            _Resolver(self.reply),
            address="127.0.0.1",
            port=self.port,
            tcp=tcp,
            logger=DNSLogger(logf=lambda _: None),
            handler=_Handler,
        )


class _Resolver(BaseResolver):  # type: ignore[misc]  # dnslib has no types
    def __init__(self, reply: Callable[[DNSRecord], DNSRecord]) -> None:
        self._reply = reply

    def resolve(self, request: DNSRecord, handler: DNSHandler) -> DNSRecord:
        return self._reply(request)


class _Handler(DNSHandler):  # type: ignore[misc]
    udplen = 1232  # clients retry longer answers over TCP
