import socket
from collections.abc import Iterator

import pytest

from devstack.servers import ports


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    return ports.free_port()
