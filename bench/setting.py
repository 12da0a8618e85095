"""What a scenario runs in: a private PostgreSQL (with fsync) and Redis, real workers."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import django
from django.core.management import call_command

import devstack

ROOT = Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def servers() -> Iterator[None]:
    """Sets the environment up before Django is: nothing else may have imported its models."""
    with devstack.ephemeral() as stack, TemporaryDirectory() as var_dir:
        os.environ |= {
            "DATABASE_URL": stack.database_url,
            "REDIS_URL": stack.redis_url,
            "VAR_DIR": var_dir,
            "DEBUG": "false",
            "SECRET_KEY": "bench",
            "WEBHOOK_KEYS": "bench",
            "WEBHOOK_REQUIRE_HTTPS": "false",
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "DJANGO_SETTINGS_MODULE": "settings.base",
        }
        django.setup()
        call_command("migrate", verbosity=0)
        yield


@contextlib.contextmanager
def celery(*arguments: str, app: str = "settings", processes: int = 1) -> Iterator[None]:
    """Celery processes that have answered a ping; stopped at the end."""
    from settings import celery_app

    started = []
    for number in range(processes):
        name = f"bench{number}@localhost"
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", app, "worker", "--loglevel", "WARNING"]
                + ["--hostname", name, "--without-gossip", "--without-mingle", *arguments],
                cwd=ROOT,
            )
        )
    try:
        until(lambda: len(celery_app.control.ping(timeout=0.5) or []) == processes, 60)
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def until(happened: Callable[[], bool], seconds: float) -> float:
    """Waits; the seconds it took."""
    began = time.monotonic()
    while not happened():
        if time.monotonic() - began > seconds:
            raise RuntimeError(f"this took longer than {seconds:g} s: {happened}")
        time.sleep(0.02)
    return time.monotonic() - began
