"""Helpers that observe processes and wait for their effects."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import psycopg
from redis import Redis

from devstack.servers.client import Stack

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent.parent


def eventually(look: Callable[[], T], timeout_s: float = 20) -> T:
    """Waits until `look` returns a true value, and returns it."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"still {found!r} after {timeout_s} s"
        time.sleep(0.02)
    return found


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def keeper_of(directory: Path) -> psutil.Process:
    """Returns the only keeper of a directory."""
    (keeper,) = (
        process
        for process in psutil.process_iter()
        if {"devstack.servers.keeper", str(directory)} <= set(words_of(process))
    )
    return keeper


def words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def processes_of(directory: Path) -> set[int]:
    """Returns the PIDs of the keeper, the two servers and their helper processes."""
    keeper = keeper_of(directory)
    return {keeper.pid} | {child.pid for child in keeper.children(recursive=True)}


def all_gone(pids: set[int]) -> bool:
    return not any(is_running(pid) for pid in pids)


def remember(stack: Stack, word: str) -> None:
    """Writes a word to both servers."""
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS words (word text)")
        connection.execute("INSERT INTO words VALUES (%s)", [word])
    with Redis.from_url(stack.redis_url) as client:
        client.rpush("words", word)


def words(stack: Stack) -> tuple[list[str], list[str]]:
    """Returns the words in PostgreSQL and in Redis."""
    with psycopg.connect(stack.database_url) as connection:
        rows = connection.execute("SELECT word FROM words").fetchall()
    with Redis.from_url(stack.redis_url) as client:
        stored = client.lrange("words", 0, -1)
    return [word for (word,) in rows], [word.decode() for word in stored]


def start_python(code: str, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Starts a Python process that can import devstack, with pipes for its input and output."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
