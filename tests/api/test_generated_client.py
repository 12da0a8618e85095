"""A client generated from the schema, as a customer would generate it, works with the API."""

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.management import call_command
from pytest_django.live_server_helper import LiveServer

from metaaccess.models import Account, ApiToken, Device, Scope, User
from tests.conftest import API_KEY
from tests.eventlog.attempts import make_attempt

pytestmark = pytest.mark.slow

PACKAGE = "metaaccess_client"
Part = Callable[[str], Any]


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Part]:
    """Imports a module of the generated client. Warnings of the generator are errors."""
    directory = tmp_path_factory.mktemp("generated")
    generate(directory)
    sys.path.insert(0, str(directory))
    yield lambda name: importlib.import_module(f"{PACKAGE}.{name}")
    sys.path.remove(str(directory))
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def generate(directory: Path) -> None:
    schema, config = directory / "schema.json", directory / "config.json"
    call_command("spectacular", "--format", "openapi-json", "--file", str(schema))
    config.write_text('{"post_hooks": []}')
    command = [
        sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning",
        "--path", str(schema), "--config", str(config),
        "--meta", "none", "--output-path", str(directory / PACKAGE),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def client(part: Part, live_server: LiveServer, administrator: User) -> Iterator[Any]:
    _, token = ApiToken.objects.create(administrator, name="generated", scope=Scope.ADMIN)
    options = {"token": token, "prefix": "Token", "raise_on_unexpected_status": True}
    with part("client").AuthenticatedClient(base_url=live_server.url, **options) as client:
        yield client


def test_the_client_adds_a_webhook(part: Part, client: Any) -> None:
    models = part("models")
    body = models.WebhookRequest(
        url="https://siem.example.com/metaaccess",
        api_key=API_KEY,
        events=[models.StatusEnum.NON_COMPLIANT],
    )

    made = part("api.webhooks.webhook_create").sync(client=client, body=body)
    read = part("api.webhooks.webhook_retrieve").sync(str(made.id), client=client)

    assert isinstance(made, models.Webhook)
    assert (made.url, made.events) == (body.url, [models.StatusEnum.NON_COMPLIANT])
    assert made.state is models.WebhookStateEnum.ACTIVE
    assert (made.api_key_hint, made.disabled_at) == (API_KEY[-4:], None)
    assert read == made


def test_the_client_reports_a_status_and_reads_the_device_log(part: Part, client: Any) -> None:
    models, devices = part("models"), "api.devices"

    made = part(f"{devices}.device_create").sync(
        client=client, body=models.DeviceRequest(name="Reception")
    )
    changed = part(f"{devices}.device_set_status").sync(
        made.device_id,
        client=client,
        body=models.NewStatusRequest(status=models.DeviceStatusEnum.NON_COMPLIANT),
    )
    log = part("api.event_log.device_log_list").sync(client=client, device_id=made.device_id)

    assert made.status is models.DeviceStatusEnum.INSTALLED
    assert changed.status is models.DeviceStatusEnum.NON_COMPLIANT
    assert changed.status_changed_at > made.status_changed_at
    assert [(row.previous, row.status) for row in log.results] == [
        ("installed", "non_compliant"), ("", "installed"),
    ]  # fmt: skip


def test_the_client_reads_the_webhook_log(part: Part, client: Any, account: Account) -> None:
    make_attempt(account)
    failed = make_attempt(account, outcome="failed", status_code=None)
    models = part("models")

    log = part("api.event_log.webhook_log_list").sync(
        client=client, outcome=models.WebhookLogListOutcome.FAILED
    )
    whole = part("api.event_log.webhook_log_retrieve").sync(str(failed.pk), client=client)

    assert [(row.id, row.push_id, row.status_code) for row in log.results] == [
        (failed.pk, failed.push_id, None)
    ]
    assert log.results[0].outcome is models.OutcomeEnum.FAILED
    assert (whole.time, whole.request_body) == (failed.time, failed.request_body)


def test_the_client_follows_pages(part: Part, client: Any, account: Account) -> None:
    ids = [Device.objects.create(account=account).device_id for _ in range(5)]
    read = part("api.devices.device_list").sync

    page = read(client=client, limit=2)
    found = [device.device_id for device in page.results]
    while page.next_:
        (cursor,) = parse_qs(urlsplit(page.next_).query)["cursor"]
        page = read(client=client, limit=2, cursor=cursor)
        found += [device.device_id for device in page.results]

    assert found == ids[::-1]


def test_a_wrong_body_is_a_typed_problem(part: Part, client: Any) -> None:
    models = part("models")
    body = models.WebhookRequest(url="https://10.0.0.1/", api_key=API_KEY)

    answer = part("api.webhooks.webhook_create").sync_detailed(client=client, body=body)

    assert answer.status_code is HTTPStatus.BAD_REQUEST
    assert isinstance(answer.parsed, models.Problem)
    assert answer.parsed.type_ == "urn:metaaccess:problem:invalid"
    assert list(answer.parsed.errors.additional_properties) == ["url"]
