"""`make run`: runs the whole product on this machine until Ctrl-C."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from devstack import DevstackError, make_folder
from devstack.running import runs
from devstack.running.environment import missing_urls
from devstack.running.processes import Limits, Process, Supervisor
from devstack.running.var_dir import MIGRATE_LOCK, MIGRATE_TIMEOUT_S, RUN_FILE, var_directory
from devstack.servers import locks
from devstack.servers.client import attach
from devstack.servers.ports import free_port, is_free

_ROOT = Path(__file__).resolve().parents[2]
_WELCOME_TIMEOUT_S = 30.0
# The settings that manage.py takes over beside this run, in addition to all WEBHOOK_ variables.
_PUBLISHED = {
    "ALLOWED_HOSTS",
    "CELERY_BROKER_URL",
    "RABBITMQ_QUEUE_TYPE",
    "DATABASE_URL",
    "DEBUG",
    "EMAIL_URL",
    "EVENT_LOG_DAYS",
    "PUBLIC_URL",
    "REDIS_URL",
    "SECRET_KEY",
}


def run() -> int:
    """Runs the product; returns the exit code."""
    # Until the supervisor installs its own handlers, SIGTERM must clean up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        port = _port("PORT", 8000)
        var_dir = var_directory(_ROOT)
        os.chdir(_ROOT)
        make_folder(var_dir)
        _set_defaults(port)
        with _published(var_dir), runs.registered(_ROOT, var_dir), _servers(var_dir):
            return _run_processes(var_dir, port)
    except KeyboardInterrupt:
        return 0
    except DevstackError as error:
        print(error, file=sys.stderr)
        return 1


def _port(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise DevstackError(f"{name} is {text!r}: expected a number from 1 to 65535")
    if not is_free(int(text)):
        raise DevstackError(f"{name} {text} is in use: set {name} to a free port")
    return int(text)


def _set_defaults(port: int) -> None:
    defaults = {
        "DEBUG": "true",
        "ALLOWED_HOSTS": "*",
        "PUBLIC_URL": f"http://localhost:{port}",
        "WEBHOOK_REQUIRE_HTTPS": "false",
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
        "DJANGO_SETTINGS_MODULE": "settings.base",
    }
    for name, value in defaults.items():
        if f"{name}_FILE" not in os.environ:
            os.environ.setdefault(name, value)
    os.environ["PORT"] = str(port)
    programs = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])


@contextmanager
def _published(var_dir: Path) -> Iterator[None]:
    run_file = var_dir / RUN_FILE
    if locks.is_held(run_file):
        raise DevstackError(
            f"make run is already running with VAR_DIR={var_dir}: set another VAR_DIR"
        )
    # Called before the private servers' URLs are set: other processes attach to those servers
    # themselves, and so keep them running.
    settings = {
        name: value
        for name, value in os.environ.items()
        if name.removesuffix("_FILE") in _PUBLISHED or name.startswith("WEBHOOK_")
    }
    with locks.held(run_file, timeout_s=1) as descriptor:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(settings).encode())
        yield


@contextmanager
def _servers(var_dir: Path) -> Iterator[None]:
    missing = missing_urls()
    if not missing:
        yield
        return
    with attach(var_dir) as stack:
        urls = {"DATABASE_URL": stack.database_url, "REDIS_URL": stack.redis_url}
        os.environ.update({name: urls[name] for name in missing})
        yield


def _run_processes(var_dir: Path, port: int) -> int:
    receiver_port = _receiver_port(var_dir)
    receiver_url = f"http://127.0.0.1:{receiver_port}/"
    _migrate(var_dir)
    demo = json.loads(_manage("demo_seed", "--receiver-url", receiver_url))
    threading.Thread(target=_welcome, args=[port, demo, receiver_url], daemon=True).start()
    return Supervisor(_processes(demo, receiver_port), Limits(grace_s=_grace_s())).run()


def _grace_s() -> float:
    """Returns how long a stopping worker may take: it finishes the attempts in progress.

    That takes up to one WEBHOOK_TIMEOUT, plus a margin.
    """
    timeout = os.environ.get("WEBHOOK_TIMEOUT", "")
    return 15.0 + (float(timeout) if timeout.replace(".", "", 1).isdigit() else 10.0)


def _migrate(var_dir: Path) -> None:
    with locks.held(var_dir / MIGRATE_LOCK, MIGRATE_TIMEOUT_S):
        _manage("migrate", "--verbosity", "0")


def _receiver_port(var_dir: Path) -> int:
    # The same port in each run if it is free, because the demo webhook's URL contains it.
    memory = var_dir / "receiver-port"
    remembered = int(memory.read_text()) if memory.exists() else free_port()
    port = _port("RECEIVER_PORT", remembered if is_free(remembered) else free_port())
    memory.write_text(str(port))
    return port


def _manage(*arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, check=False, cwd=_ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise DevstackError(f"manage.py {arguments[0]} failed:\n{done.stdout}")
    return done.stdout


def _processes(demo: dict[str, str], receiver_port: int) -> list[Process]:
    commands = _procfile(_ROOT / "Procfile")
    manage = f"{shlex.quote(sys.executable)} manage.py"
    receiver = f"{manage} webhook_receiver --port {receiver_port}"
    devices = f"{manage} device_simulate --devices 12 --rate 0.2"
    return [
        Process("devices", f"{devices} --account {shlex.quote(demo['account'])}"),
        Process("beat", commands["beat"]),
        Process("web", commands["web"], essential=True),
        Process("control", commands["control"]),
        *(
            Process(name, commands["worker"], {"WORKER_NAME": name})
            for name in ("worker1", "worker2")
        ),
        Process(
            "receiver", f"{receiver} --api-key {shlex.quote(demo['api_key'])}", stops_last=True
        ),
    ]


def _procfile(path: Path) -> dict[str, str]:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name.strip(): command.strip() for name, _, command in lines if command}


def _welcome(port: int, demo: dict[str, str], receiver_url: str) -> None:
    address = f"http://127.0.0.1:{port}/healthz"
    deadline = time.monotonic() + _WELCOME_TIMEOUT_S
    while not _answers(address):
        if time.monotonic() > deadline:
            print(f"{address} did not answer within {_WELCOME_TIMEOUT_S:g} s: see the log above")
            return
        time.sleep(0.1)
    lines = [
        f"Console    {os.environ['PUBLIC_URL'].rstrip('/')}/console/",
        f"Sign in    {demo['email']}",
        f"Password   {demo.get('password') or '(unchanged)'}",
        f"Receiver   {receiver_url}",
        "",
        "Ctrl-C stops everything.",
    ]
    Console().print(Panel.fit(Text("\n".join(lines)), title="MetaAccess Webhooks"))


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=2) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
