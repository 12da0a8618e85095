"""`python -m devstack.tools.fault_tools`: makes sure that the fault tests have their tools.

These are RabbitMQ; a Redis with TLS, which the one in the wheel lacks; and faketime, to simulate
wrong clocks.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from devstack import DevstackError
from devstack.tools import debian

# The programs themselves: the scripts on the PATH switch to another user.
RABBITMQ_SCRIPTS = Path("/usr/lib/rabbitmq/bin")
PACKAGES = {
    "rabbitmq-server": str(RABBITMQ_SCRIPTS / "rabbitmq-server"),
    "redis-server": "/usr/bin/redis-server",
    "faketime": "faketime",
}


def missing() -> list[str]:
    """Returns the packages whose program is not installed."""
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
