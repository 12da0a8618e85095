"""A local callback API for demos and tests. It records requests and answers as configured."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAIL_FIRST_STATUS = 503
WITHOUT_BODY = {204, 304}


@dataclass(frozen=True, slots=True)
class Received:
    """One request. `time` is in Unix seconds, on this machine's clock. `status` is that of the
    response. `reason` says why it is not a success ("": it is one)."""

    time: float
    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    reason: str = ""

    @property
    def push_id(self) -> str:
        return self.headers.get("Webhook-Id", "")

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of the body. Empty if it is not a JSON array."""
        try:
            events = json.loads(self.body)
        except ValueError:
            return []
        return events if isinstance(events, list) else []


@dataclass(slots=True)
class Behaviour:
    """How the receiver answers. It may be changed while the receiver runs."""

    status: int = 200
    fail_first: int = 0
    delay_s: float = 0.0
    api_key: str | None = None
    on_received: Callable[[Received], None] | None = None
    received: list[Received] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, headers: dict[str, str]) -> tuple[int, str]:
        """The status of the response, and why it is not a success ("": it is one)."""
        given = headers.get("Authorization")
        if self.api_key is not None:
            if given is None:
                return 401, "no Authorization header"
            if not compare_digest(given.encode(), self.api_key.encode()):
                return 401, "wrong API key"
        with self.lock:
            if self.fail_first > 0:
                self.fail_first -= 1
                return FAIL_FIRST_STATUS, "configured to fail the first requests"
        return self.status, "" if self.status < 300 else f"configured to answer {self.status}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "LocalReceiver"

    def do_POST(self) -> None:
        arrived = time.time()
        headers = dict(self.headers.items())
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        behaviour = self.server.behaviour
        status, reason = behaviour.answer(headers)
        received = Received(arrived, self.path, headers, body, status, reason)
        with behaviour.lock:
            behaviour.received.append(received)
            if behaviour.on_received is not None:
                behaviour.on_received(received)
        time.sleep(behaviour.delay_s)
        text = b"" if status in WITHOUT_BODY else reason.encode() or b'{"received": true}'
        self.send_response(status)
        if status not in WITHOUT_BODY:
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        pass  # `on_received` reports more


class LocalReceiver(ThreadingHTTPServer):
    """Listens on loopback. As a context manager, it runs in a thread."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, port: int = 0, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        super().__init__(("127.0.0.1", port), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    @property
    def received(self) -> list[Received]:
        with self.behaviour.lock:
            return list(self.behaviour.received)

    def __enter__(self) -> "LocalReceiver":
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # the sender hung up, because its timeout is being tried out
