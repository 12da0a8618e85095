"""Every Procfile process runs in the image's environment, as a user without write access."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
import requests

from metaaccess.models import Device
from tests import image
from tests.conftest import MakeWebhook
from tests.pipeline.conftest import MakeReceiver
from tests.pipeline.workers import PRODUCTION, Workers, until

# Root may write everywhere, so the processes run as `nobody`, with the right to read all files.
AS_NOBODY = (
    "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
    "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
)  # fmt: skip
USER = AS_NOBODY if os.geteuid() == 0 else ()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Path]:
    """A read-only copy of the image's files."""
    folder = tmp_path / "app"
    image.copy(folder)
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for each in folders:
        each.chmod(0o555)
    yield folder
    for each in folders:
        each.chmod(0o755)


@pytest.fixture
def environment(workers: Workers, tmp_path: Path) -> dict[str, str]:
    """The image's variables, the settings required in production, and one folder for temp files."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    temporary.chmod(0o777)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # The tests' virtual environment replaces the image's.
    found = image.environment()
    path = found["PATH"].replace("/venv/bin", str(Path(sys.executable).parent))
    needed = {
        name: workers.environment()[name]
        for name in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "WEBHOOK_ALLOWED_NETWORKS")
    }
    return found | needed | PRODUCTION | {
        "PATH": path, "PORT": str(port), "TMPDIR": str(temporary), "HOME": "/nonexistent",
        "WEBHOOK_REQUIRE_HTTPS": "false",
    }  # fmt: skip


@contextmanager
def running(
    command: str, app: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a Procfile line as a supervisor does."""
    process = subprocess.Popen(
        [*USER, "sh", "-c", f"exec {command}"], cwd=app, env=environment, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_each_line_works_where_nothing_can_be_written(  # noqa: PLR0917  # fixtures
    app: Path,
    environment: dict[str, str],
    settings: object,
    device: Device,
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
) -> None:
    settings.WEBHOOK_KEYS = [PRODUCTION["WEBHOOK_KEYS"]]  # type: ignore[attr-defined]
    receiver = make_receiver()
    make_webhook(url=receiver.url, events=["installed"])
    Device.objects.create(account=device.account)
    redis.Redis.from_url(environment["REDIS_URL"]).flushdb()  # so only the sweep finds the event
    before, var_existed = sorted(app.rglob("*")), Path(environment["VAR_DIR"]).exists()
    lines = image.procfile()
    assert {"release", "web", "worker", "beat"} <= lines.keys()

    with running(lines.pop("release"), app, environment) as release:
        assert release.wait(60) == 0
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(running(command, app, environment))
            for name, command in lines.items()
        }

        until("the sweep finds the event and the worker pushes it", lambda: receiver.received)
        until("the web process is ready", lambda: _is_ready(environment["PORT"]))
        assert {name: process.poll() for name, process in processes.items()} == dict.fromkeys(lines)

    assert sorted(app.rglob("*")) == before
    assert Path(environment["VAR_DIR"]).exists() == var_existed


def _is_ready(port: str) -> bool:
    try:
        answer = requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5)
    except requests.ConnectionError:
        return False
    return bool(answer.json() == {"ready": True, "postgresql": "ok", "broker": "ok", "redis": "ok"})


@pytest.mark.slow
def test_the_folder_really_is_read_only(app: Path, environment: dict[str, str]) -> None:
    with running("touch settings/here", app, environment) as process:
        assert process.wait(10) != 0
    assert not (app / "settings" / "here").exists()
