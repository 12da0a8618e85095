"""The private servers: the first client starts them, and the last one stops them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from devstack import DevstackError
from devstack.servers.client import ServerName, Stack, attach, ephemeral
from tests.devstack.helpers import (
    all_gone,
    eventually,
    keeper_of,
    kill,
    processes_of,
    remember,
    start_python,
    words,
)

pytestmark = pytest.mark.faults  # most of these tests kill a server or its keeper

CLIENT = """
import sys
from devstack.servers.client import attach
stack = attach(sys.argv[1])
print(stack.database_url, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "var"


@pytest.fixture
def stack(directory: Path) -> Iterator[Stack]:
    with attach(directory) as stack:
        yield stack


def sockets_of(directory: Path) -> Path:
    return Path((directory / "sockets").read_text())


def test_ephemeral_stack_leaves_no_process_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    with ephemeral(fast=True) as stack:
        (directory,) = tmp_path.iterdir()
        pids = processes_of(directory)
        sockets = sockets_of(directory)
        remember(stack, "hello")
        assert words(stack) == (["hello"], ["hello"])

    assert len(pids) > 3
    assert all_gone(pids)
    assert not directory.exists()
    assert not sockets.exists()


def test_data_survives_the_last_client(directory: Path) -> None:
    with attach(directory) as stack:
        remember(stack, "hello")
        sockets = sockets_of(directory)

    assert not sockets.exists()
    with attach(directory) as stack:
        assert words(stack) == (["hello"], ["hello"])


def test_two_directories_have_separate_servers(stack: Stack, tmp_path: Path) -> None:
    with attach(tmp_path / "other") as other:
        remember(stack, "here")
        remember(other, "there")

        assert words(stack) == (["here"], ["here"])
        assert words(other) == (["there"], ["there"])


def test_second_client_shares_the_servers_and_outlives_the_first(directory: Path) -> None:
    first = attach(directory)
    with attach(directory) as second:
        remember(first, "hello")
        pids = processes_of(directory)

        first.close()

        assert (second.database_url, second.redis_url) == (first.database_url, first.redis_url)
        assert words(second) == (["hello"], ["hello"])
    eventually(lambda: all_gone(pids))


def test_clients_that_come_at_the_same_time_share_one_keeper(directory: Path) -> None:
    clients = [start_python(CLIENT, str(directory)) for _ in range(3)]

    urls = {client.stdout.readline() for client in clients if client.stdout}

    assert len(urls) == 1
    pids = processes_of(directory)
    for client in clients:
        client.kill()
        client.communicate()
    eventually(lambda: all_gone(pids))


def test_a_client_that_arrives_while_the_servers_stop_gets_new_ones(directory: Path) -> None:
    for number in range(3):
        with start_python(CLIENT, str(directory)) as client:
            assert client.stdout
            client.stdout.readline()
            client.kill()

            with attach(directory) as stack:
                remember(stack, str(number))

    with attach(directory) as stack:
        assert words(stack) == (["0", "1", "2"], ["0", "1", "2"])


def test_killing_the_last_client_stops_the_servers(directory: Path) -> None:
    with start_python(CLIENT, str(directory)) as client:
        assert client.stdout
        client.stdout.readline()
        pids = processes_of(directory)
        sockets = sockets_of(directory)

        client.kill()

        eventually(lambda: all_gone(pids))
        assert not sockets.exists()


def test_killing_the_keeper_stops_the_servers_and_keeps_the_data(directory: Path) -> None:
    stack = attach(directory)
    remember(stack, "hello")
    pids = processes_of(directory)
    sockets = sockets_of(directory)

    kill(keeper_of(directory).pid)

    with attach(directory) as again:
        assert all_gone(pids)
        assert words(again) == (["hello"], ["hello"])
        assert not sockets.exists()
    stack.close()


def test_a_directory_longer_than_a_socket_path(tmp_path: Path) -> None:
    directory = tmp_path.joinpath(*["a-long-name-for-a-folder"] * 8)

    with attach(directory) as stack:
        remember(stack, "hello")

        assert words(stack) == (["hello"], ["hello"])


def test_only_its_owner_can_reach_postgres(stack: Stack, directory: Path) -> None:
    with psycopg.connect(stack.database_url) as connection:
        settings = connection.execute(
            "SELECT current_setting('listen_addresses'), current_setting('TimeZone'),"
            " current_setting('server_encoding'), current_setting('fsync')"
        ).fetchone()

    assert settings == ("", "UTC", "UTF8", "on")
    assert sockets_of(directory).stat().st_mode & 0o777 == 0o700


def test_redis_requires_its_password(stack: Stack) -> None:
    host_and_port = stack.redis_url.rpartition("@")[2]

    with (
        Redis.from_url(f"redis://{host_and_port}") as stranger,
        pytest.raises(Exception, match="Authentication required"),
    ):
        stranger.ping()
    with Redis.from_url(stack.redis_url) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.parametrize("server", ["postgres", "redis"])
def test_a_stopped_server_comes_back_with_its_data(
    stack: Stack, server: ServerName, how: str
) -> None:
    remember(stack, "hello")

    getattr(stack, how)(server)
    with pytest.raises(Exception, match=r"refused|No such file"):
        words(stack)
    stack.start(server)

    assert words(stack) == (["hello"], ["hello"])


def test_a_restart_keeps_the_url(stack: Stack) -> None:
    remember(stack, "hello")

    stack.restart("redis")
    stack.restart("postgres")

    assert words(stack) == (["hello"], ["hello"])


def test_server_that_cannot_start_shows_its_log(directory: Path) -> None:
    with attach(directory):
        pass
    (directory / "postgres" / "PG_VERSION").write_text("9\n")

    with pytest.raises(DevstackError, match=r"not compatible|incompatible") as failure:
        attach(directory)

    assert "postgres did not start" in str(failure.value)
