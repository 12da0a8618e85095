"""The brokers that may be used, each on a real server, in what is known to go wrong with it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
import trustme
from django.conf import settings

from devstack.servers.ports import LOOPBACK
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device
from tests.conftest import MakeWebhook
from tests.faults.conftest import UseRabbitMQ
from tests.faults.rabbitmq import RabbitMQ
from tests.faults.redises import DEBIANS_REDIS, MASTER, Server, with_sentinel
from tests.pipeline.conftest import MakeReceiver
from tests.pipeline.workers import ROOT, Workers, until
from webhooks import wake
from webhooks.models import Delivery
from webhooks.queue.states import State

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

EVENTS = 40
# What else of the product talks to Redis: the cache, the flags.
USE_REDIS = """
import django
django.setup()
from django.core.cache import cache
from metaaccess.servers import redis_client
cache.set("key", "value")
assert cache.get("key") == "value"
assert redis_client.connect().set("flag", 1, nx=True)
"""


@pytest.fixture
def devices(account: Account) -> list[Device]:
    return Device.objects.bulk_create(Device(account=account) for _ in range(EVENTS))


def change(devices: list[Device], status: str = "compliant") -> None:
    Device.objects.change(NewStatus(device.device_id, status) for device in devices)


def delivered() -> int:
    return Delivery.objects.filter(state=State.DELIVERED).count()


# --- RabbitMQ ---


def test_a_retry_rings_without_beat_on_quorum_queues(
    use_rabbitmq: UseRabbitMQ,
    workers: Workers,
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
    devices: list[Device],
) -> None:
    use_rabbitmq("quorum")
    receiver = make_receiver(fail_first=1)
    make_webhook(url=receiver.url, events=["compliant"])
    workers.start("one", WEBHOOK_RETRY_COUNTDOWNS="2")

    change(devices[:1])

    until("the retry", lambda: delivered() == 1)
    first, second = receiver.received
    assert second.time - first.time >= 2


def test_quorum_queues_survive_a_loss(
    use_rabbitmq: UseRabbitMQ,
    workers: Workers,
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
    devices: list[Device],
) -> None:
    make_webhook(url=make_receiver().url, events=["compliant"])
    broker = use_rabbitmq("quorum")
    workers.start("one")
    workers.start_beat()

    broker.lose("KILL")
    change(devices)

    until("all", lambda: delivered() == EVENTS)


def test_classic_queues_where_the_virtual_host_would_make_quorum_queues(  # noqa: PLR0917  # fixtures
    rabbitmq: RabbitMQ,
    use_rabbitmq: UseRabbitMQ,
    workers: Workers,
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
    devices: list[Device],
) -> None:
    make_webhook(url=make_receiver().url, events=["compliant"])
    use_rabbitmq("classic")
    rabbitmq.ctl("delete_vhost", "/")
    rabbitmq.ctl("add_vhost", "/", "--default-queue-type", "quorum")
    rabbitmq.ctl("set_permissions", "-p", "/", "guest", ".*", ".*", ".*")
    workers.start("one")

    change(devices)

    until("all", lambda: delivered() == EVENTS)


def test_rabbitmq_short_of_memory_holds_no_request_for_long(  # noqa: PLR0917  # fixtures
    rabbitmq: RabbitMQ,
    use_rabbitmq: UseRabbitMQ,
    workers: Workers,
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
    devices: list[Device],
) -> None:
    make_webhook(url=make_receiver().url, events=["compliant"])
    use_rabbitmq("classic")
    workers.start("one")
    workers.start_beat()
    change(devices[:10])
    until("the first ones", lambda: delivered() == 10)
    rabbitmq.ctl("set_vm_memory_high_watermark", "0.00001")

    began = time.monotonic()
    change(devices[10:11])
    first_s = time.monotonic() - began
    change(devices[11:])
    next_s = time.monotonic() - began - first_s
    rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")

    assert first_s < 4, "a second, on a machine that is not busy"
    assert next_s < 1, "the next one does not wait again"
    until("all", lambda: delivered() == EVENTS)


# --- Redis ---


def use_redis(workers: Workers, url: str) -> None:
    """Makes it the Redis of all processes, and sees that they can use it."""
    workers.settings |= {"REDIS_URL": url, "CELERY_BROKER_URL": ""}
    workers.app = None
    command = [sys.executable, "-c", USE_REDIS]
    subprocess.run(command, cwd=ROOT, env=workers.environment(), check=True)


def test_sentinel_moves_the_broker_to_another_server(
    workers: Workers,
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
    devices: list[Device],
    tmp_path: Path,
) -> None:
    make_webhook(url=make_receiver().url, events=["compliant"])
    master, replica, sentinel = with_sentinel(tmp_path, password="pass:word")
    nodes = f"{LOOPBACK}:{sentinel.port},{LOOPBACK}:1"
    try:
        use_redis(workers, f"sentinel://:pass%3Aword@{nodes}/1?master_name={MASTER}")
        workers.start("one")
        workers.start_beat()
        change(devices[:20])
        until("the first ones", lambda: delivered() == 20, timeout_s=120)

        master.kill()
        change(devices[20:])

        until("all", lambda: delivered() == EVENTS, timeout_s=120)
    finally:
        workers.kill_all()
        for server in (master, replica, sentinel):
            server.kill()


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, Path]:
    authority = trustme.CA()
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return authority, path


def test_redis_over_tls(  # noqa: PLR0917  # fixtures
    workers: Workers,
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
    devices: list[Device],
    authority: tuple[trustme.CA, Path],
    tmp_path: Path,
) -> None:
    make_webhook(url=make_receiver().url, events=["compliant"])
    server = tls_server(tmp_path, *authority, name=LOOPBACK)
    try:
        use_redis(workers, f"rediss://{LOOPBACK}:{server.port}/0?ssl_ca_certs={authority[1]}")
        workers.start("one")
        workers.start_beat()

        change(devices)

        until("all", lambda: delivered() == EVENTS)
    finally:
        workers.kill_all()
        server.kill()


def test_a_redis_with_another_hosts_certificate_is_not_talked_to(
    workers: Workers, authority: tuple[trustme.CA, Path], tmp_path: Path
) -> None:
    server = tls_server(tmp_path, *authority, name="redis.example")
    try:
        with pytest.raises(subprocess.CalledProcessError):
            use_redis(workers, f"rediss://{LOOPBACK}:{server.port}/0?ssl_ca_certs={authority[1]}")
    finally:
        server.kill()


def tls_server(folder: Path, authority: trustme.CA, authority_path: Path, name: str) -> Server:
    certificate = folder / "server.pem"
    authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(certificate)
    server = Server(
        folder,
        "port 0",
        "tls-port {port}",
        f"tls-cert-file {certificate}",
        f"tls-key-file {certificate}",
        f"tls-ca-cert-file {authority_path}",
        "tls-auth-clients no",
        program=DEBIANS_REDIS,
    )
    options = {"ssl_ca_certs": str(authority_path), "ssl_check_hostname": False}
    return server.wait(f"rediss://{LOOPBACK}:{server.port}", **options)


def test_a_redis_that_was_a_replica_for_a_while(
    workers: Workers, make_webhook: MakeWebhook, make_receiver: MakeReceiver, devices: list[Device]
) -> None:
    make_webhook(url=make_receiver().url, events=["compliant"])
    workers.start("one", "two")
    workers.start_beat()
    client = redis.Redis.from_url(settings.REDIS_URL)

    client.execute_command("REPLICAOF", LOOPBACK, "1")
    began = time.monotonic()
    until("ten seconds", lambda: time.monotonic() - began > 10)
    change(devices)
    assert delivered() == 0
    client.execute_command("REPLICAOF", "NO", "ONE")

    until("all", lambda: delivered() == EVENTS)
    assert all(process.poll() is None for process in workers.processes.values())


# --- Clocks ---


def wrong_clock(seconds: str) -> dict[str, str]:
    """The environment of a process whose wall clock is wrong by so much. Not the command of the
    same package: it is a parent that outlives its child's end, and is outlived by it."""
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    return {
        "LD_PRELOAD": str(library), "FAKETIME": f"{seconds}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip


@pytest.mark.parametrize(("workers_s", "beat_s"), [("+300", "+0"), ("-300", "+0"), ("+0", "-300")])
def test_what_nobody_woke_for_is_swept_whatever_the_clocks_say(  # noqa: PLR0917  # fixtures
    workers: Workers,
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
    devices: list[Device],
    monkeypatch: pytest.MonkeyPatch,
    workers_s: str,
    beat_s: str,
) -> None:
    receiver = make_receiver(fail_first=EVENTS)
    make_webhook(url=receiver.url, events=["compliant"])
    monkeypatch.setattr(wake, "on_commit", lambda webhook_ids: None)
    retries = {"WEBHOOK_RETRY_COUNTDOWNS": "3,60"}
    workers.start("one", **wrong_clock(workers_s), **retries)
    workers.start_beat(**wrong_clock(beat_s), **retries)

    change(devices)

    until("all", lambda: delivered() == EVENTS)
    assert len(receiver.received) == 2 * EVENTS, "each event twice, as its first attempt failed"


# --- Slots ---


def test_the_sweep_has_slots_of_its_own_while_all_receivers_hang(
    workers: Workers,
    account: Account,
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
) -> None:
    hanging = make_receiver(delay_s=60)
    for _ in range(100):
        make_webhook(url=hanging.url, events=["compliant"])
    devices = Device.objects.bulk_create(Device(account=account) for _ in range(8))
    workers.options = ["--queues", "metaaccess"]
    workers.start("pushes", WEBHOOK_TIMEOUT="60")
    workers.options = ["--queues", "metaaccess.control,metaaccess.sweep"]
    workers.start("control", WEBHOOK_TIMEOUT="60")
    for device in devices:
        change([device])
    until("all slots are busy", lambda: len(hanging.received) >= 100)

    workers.start_beat()

    swept = "webhooks.tasks.sweep"
    until("five sweeps", lambda: workers.totals("control").get(swept, 0) >= 5, timeout_s=40)
    assert swept not in workers.totals("pushes")
