"""`python -m devstack.tools.fault_tools`: sees to it that the fault tests have their servers and tools.

RabbitMQ; a Redis that speaks TLS, as the one in the wheel does not; faketime, for clocks that are
wrong.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from devstack import DevstackError
from devstack.tools import debian

# The programs themselves: what is on the PATH runs them as another user.
RABBITMQ_SCRIPTS = Path("/usr/lib/rabbitmq/bin")
PACKAGES = {
    "rabbitmq-server": str(RABBITMQ_SCRIPTS / "rabbitmq-server"),
    "redis-server": "/usr/bin/redis-server",
    "faketime": "faketime",
}


def missing() -> list[str]:
    return [package for package, program in PACKAGES.items() if not shutil.which(program)]


def main() -> int:
    try:
        if packages := missing():
            debian.install(*packages)
    except DevstackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
