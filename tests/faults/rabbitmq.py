"""A private RabbitMQ server from Debian's package. It restarts at the same address."""

import os
import signal
import subprocess
from pathlib import Path

from devstack.servers.ports import LOOPBACK, free_port, is_free
from devstack.tools.fault_tools import RABBITMQ_SCRIPTS
from tests.pipeline.workers import until

START_S = 120


class RabbitMQ:
    """Keeps its data in `folder`. Runs its own name service, epmd, which `close` stops."""

    def __init__(self, folder: Path) -> None:
        self.port, self.epmd_port = free_port(), free_port()
        self.url = f"amqp://guest:guest@{LOOPBACK}:{self.port}//"
        self.log = folder / "rabbitmq.log"
        (folder / "rabbitmq.conf").write_text("vm_memory_high_watermark.relative = 0.4\n")
        self.environment = os.environ | {
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(self.epmd_port),
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [RABBITMQ_SCRIPTS / "rabbitmq-server"],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until("RabbitMQ listens", lambda: not is_free(self.port), timeout_s=START_S)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        os.killpg(self._process.pid, number)
        self._process.wait(60)
        until("RabbitMQ is gone", lambda: is_free(self.port))
        self._process = None

    def ctl(self, *arguments: str) -> None:
        command: list[Path | str] = [RABBITMQ_SCRIPTS / "rabbitmqctl", *arguments]
        subprocess.run(command, env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def forget(self, *options: str) -> None:
        """Deletes all queues. `options` are those of `rabbitmqctl add_vhost`."""
        self.ctl("delete_vhost", "/")
        self.ctl("add_vhost", "/", *options)
        self.ctl("set_permissions", "-p", "/", "guest", ".*", ".*", ".*")

    def close(self) -> None:
        self.kill()
        epmd = ["epmd", "-port", str(self.epmd_port), "-kill"]
        subprocess.run(epmd, env=self.environment, check=False, stdout=subprocess.DEVNULL)
