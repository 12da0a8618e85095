"""The webhook_* commands: their output, their changes and what they refuse."""

import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
import responses
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from eventlog.models import AdminLog, WebhookLog
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device, Plan
from tests.conftest import API_KEY, MakeWebhook, disabled_by_failures
from webhooks import tasks, wake
from webhooks.health import reasons
from webhooks.models import Delivery, WebhookConfig
from webhooks.queue import claims, due
from webhooks.queue.held import with_counts
from webhooks.queue.states import State, place

URL = "https://receiver.example/hook"
EVERY_STATUS = ["compliant", "non_compliant", "installed", "deleted"]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(command: str, *arguments: object) -> str:
    """Runs a command. Returns its output."""
    printed = StringIO()
    call_command(command, *map(str, arguments), stdout=printed, stderr=printed)
    return printed.getvalue()


def refused(words: str, command: str, *arguments: object) -> str:
    """Asserts that the command fails with these words, prints nothing else and writes nothing."""
    before, printed = written(), StringIO()
    with pytest.raises(CommandError, match=words) as refusal:
        call_command(command, *map(str, arguments), stdout=printed, stderr=printed)
    assert refusal.value.returncode != 0
    assert printed.getvalue() == ""
    assert written() == before
    return str(refusal.value)


def written() -> list[Any]:
    """Returns all rows that the commands could have changed."""
    models: Any = (WebhookConfig, Delivery, AdminLog, WebhookLog)
    return [list(model.objects.order_by("pk").values()) for model in models]


def admin_log() -> list[tuple[str, str, str, str]]:
    rows = AdminLog.objects.order_by("pk")
    return [(row.actor, row.action, row.target, row.detail) for row in rows]


MakeDisabled = Callable[..., WebhookConfig]


@pytest.fixture
def make_disabled(make_webhook: MakeWebhook) -> MakeDisabled:
    """Makes a webhook that was disabled automatically."""

    def make(at: datetime = NOON, **fields: object) -> WebhookConfig:
        return make_webhook(
            **disabled_by_failures(at),
            consecutive_failures=100,
            failing_since=at,
            epoch=7,
            **fields,
        )

    return make


def health(webhook: WebhookConfig) -> tuple[datetime | None, str, int, datetime | None, int]:
    webhook.refresh_from_db()
    return (
        webhook.disabled_at,
        reasons.in_utc(webhook),
        webhook.consecutive_failures,
        webhook.failing_since,
        webhook.epoch,
    )


ENABLED_AGAIN = (None, "", 0, None, 8)
REASON = "100 failed pushes in a row since 2026-03-01T12:00:00Z; the last failure: HTTP 500"
STILL_DISABLED = (NOON, REASON, 100, NOON, 7)


# --- webhook_create ---

CREATE = ("webhook_create", "--account", "Acme", "--url", URL, "--api-key", API_KEY)


def test_webhook_create_prints_the_id(account: Account) -> None:
    printed = run(*CREATE)

    webhook = WebhookConfig.objects.get()
    assert printed == f'{{"id": {webhook.pk}}}\n'
    assert (webhook.account, webhook.url, webhook.api_key) == (account, URL, API_KEY)
    assert (webhook.name, webhook.events, webhook.events_per_push) == ("", EVERY_STATUS, 1)
    assert (webhook.in_order, webhook.enabled, webhook.consecutive_failures) == (False, True, 0)


def test_webhook_create_takes_every_option(account: Account) -> None:
    run(*CREATE, "--events", "deleted, compliant", "--name", "SIEM",
        "--events-per-push", 500, "--in-order")  # fmt: skip

    webhook = WebhookConfig.objects.get()
    assert (webhook.name, webhook.events) == ("SIEM", ["deleted", "compliant"])
    assert (webhook.events_per_push, webhook.in_order) == (500, True)


def test_webhook_create_is_written_to_the_admin_log_without_the_key(account: Account) -> None:
    run(*CREATE)

    webhook = WebhookConfig.objects.get()
    assert admin_log() == [("command line", "webhook created", f"webhook {webhook.pk} ({URL})", "")]
    assert AdminLog.objects.get().account == account


def test_webhook_create_reads_the_key_from_standard_input(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("a key with spaces, and a final newline\n"))

    run("webhook_create", "--account", account.pk, "--url", URL, "--api-key", "-")

    assert WebhookConfig.objects.get().api_key == "a key with spaces, and a final newline"


def test_webhook_create_stores_no_key_in_the_clear(account: Account) -> None:
    run(*CREATE)

    assert API_KEY not in str(written())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--account", "Nobody"], "no account has the ID or the name 'Nobody'"),
        (["--url", "receiver.example"], "url: "),
        (["--url", ""], "url: "),
        (["--url", "ftp://receiver.example/"], "url: "),
        (["--url", "https://127.0.0.1/"], "url: The host 127.0.0.1 is not on the public internet"),
        (["--url", "https://user:pw@receiver.example/"], "url: "),
        (["--events", "compliant,broken"], "events: .*'broken' is not a valid choice"),
        (["--events", "Compliant"], "events: .*'Compliant' is not a valid choice"),
        (["--events", "compliant,deleted,compliant"], "events: The same status is listed twice"),
        (["--events", ""], r"events: This field cannot be blank\."),
        (["--events", " , "], r"events: This field cannot be blank\."),
        (["--events-per-push", "0"], "events_per_push: .*greater than or equal to 1"),
        (["--events-per-push", "501"], "events_per_push: .*less than or equal to 500"),
        (["--events-per-push", "-1"], "events_per_push: .*greater than or equal to"),
        (["--events-per-push", "ten"], "--events-per-push: invalid int value: 'ten'"),
        (["--name", "x" * 201], "name: Ensure .* at most 200 characters"),
    ],
)
def test_webhook_create_refuses(account: Account, arguments: list[str], words: str) -> None:
    refused(words, *CREATE, *arguments)


def test_webhook_create_refuses_the_standard_plan(account: Account) -> None:
    Account.objects.update(plan=Plan.STANDARD)

    refused("Acme is on the Standard plan. Webhooks are available on the", *CREATE)


def test_webhook_create_refuses_http_where_https_is_required(
    account: Account, settings: Any
) -> None:
    settings.WEBHOOK_REQUIRE_HTTPS = True
    refused("url: Start the URL with https://", *CREATE, "--url", "http://receiver.example/")

    settings.WEBHOOK_REQUIRE_HTTPS = False
    run(*CREATE, "--url", "http://receiver.example/")
    assert WebhookConfig.objects.get().url == "http://receiver.example/"


@pytest.mark.parametrize(
    "key",
    ["sesame\nopen", " sesame-open", "sesame-open ", "sesame  open", "sésame-open", "sesame\topen",
     "sesame" * 200],
    ids=["newline", "space first", "space last", "two spaces", "not ASCII", "tab", "too long"],
)  # fmt: skip
def test_webhook_create_refuses_a_key_without_repeating_it(account: Account, key: str) -> None:
    message = refused("The API key has", *CREATE, f"--api-key={key}")

    assert "same" not in message


def test_webhook_create_refuses_an_empty_key(account: Account) -> None:
    refused("Enter the API key that the receiver expects", *CREATE, "--api-key=")


@pytest.mark.parametrize("left_out", ["--account", "--url", "--api-key"])
def test_webhook_create_needs_account_url_and_key(account: Account, left_out: str) -> None:
    place = CREATE.index(left_out)

    refused(f"required: {left_out}", *CREATE[:place], *CREATE[place + 2 :])


# --- webhook_list ---


def test_webhook_list_as_json(make_webhook: MakeWebhook, make_disabled: MakeDisabled) -> None:
    active, disabled = make_webhook(name="SIEM"), make_disabled()
    Device.objects.create(account=active.account)

    assert json.loads(run("webhook_list", "--json")) == [
        {
            "id": active.pk,
            "account": "Acme",
            "name": "SIEM",
            "url": URL,
            "state": "active",
            "enabled": True,
            "api_key_hint": API_KEY[-4:],
            "events": ["compliant", "non_compliant", "installed", "deleted"],
            "events_per_push": 1,
            "in_order": False,
            "consecutive_failures": 0,
            "held_events": 0,
            "disabled_at": None,
            "disabled_by": "",
            "disabled_because": "",
            "disabled_reason": "",
        },
        {
            "id": disabled.pk,
            "account": "Acme",
            "name": "",
            "url": URL,
            "state": "disabled",
            "enabled": False,
            "api_key_hint": API_KEY[-4:],
            "events": ["compliant", "non_compliant", "installed", "deleted"],
            "events_per_push": 1,
            "in_order": False,
            "consecutive_failures": 100,
            "held_events": 1,
            "disabled_at": "2026-03-01T12:00:00Z",
            "disabled_by": "system",
            "disabled_because": "failures",
            "disabled_reason": REASON,
        },
    ]


def test_webhook_list_says_that_one_fails(make_webhook: MakeWebhook) -> None:
    make_webhook(consecutive_failures=3, failing_since=NOON)

    (row,) = json.loads(run("webhook_list", "--json"))
    assert (row["state"], row["enabled"], row["consecutive_failures"]) == ("failing", True, 3)


def test_webhook_list_shows_the_disabled_or_an_accounts(
    webhook: WebhookConfig, make_disabled: MakeDisabled, other_account: Account
) -> None:
    disabled, other = make_disabled(), make_disabled(account=other_account)

    def listed(*arguments: object) -> list[int]:
        return [row["id"] for row in json.loads(run("webhook_list", "--json", *arguments))]

    assert listed() == [webhook.pk, disabled.pk, other.pk]
    assert listed("--disabled") == [disabled.pk, other.pk]
    assert listed("--account", "Acme") == [webhook.pk, disabled.pk]
    assert listed("--account", other_account.pk, "--disabled") == [other.pk]


def test_webhook_list_as_a_table(
    make_disabled: MakeDisabled, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = make_disabled()
    monkeypatch.delenv("COLUMNS", raising=False)

    heading, row = run("webhook_list").splitlines()
    assert heading.split() == ["id", "account", "url", "state", "consecutive", "failures",
                               "held", "events", "disabled", "reason"]  # fmt: skip
    assert row.split() == [str(webhook.pk), "Acme", URL, "disabled", "100", "0",
                           *REASON.split()]  # fmt: skip


def test_webhook_list_of_none(account: Account) -> None:
    assert run("webhook_list") == "no webhooks\n"
    assert run("webhook_list", "--json") == "[]\n"


def test_webhook_list_shows_no_key(webhook: WebhookConfig) -> None:
    shown = run("webhook_list") + run("webhook_list", "--json")

    assert API_KEY not in shown
    assert webhook.api_key_sealed not in shown


def test_webhook_list_refuses_an_unknown_account(account: Account) -> None:
    refused("no account has the ID or the name 'Nobody'", "webhook_list", "--account", "Nobody")


# --- webhook_enable ---

BECAUSE = ("--reason", "the receiver is back")


def test_webhook_enable_by_ids(make_disabled: MakeDisabled) -> None:
    first, second, third = make_disabled(), make_disabled(), make_disabled()

    printed = run("webhook_enable", first.pk, third.pk, *BECAUSE)

    assert health(first) == health(third) == ENABLED_AGAIN
    assert health(second) == STILL_DISABLED
    assert printed.splitlines()[-1] == "2 enabled"


def test_webhook_enable_prints_json(make_disabled: MakeDisabled) -> None:
    webhook = make_disabled()

    assert json.loads(run("webhook_enable", webhook.pk, "--json", *BECAUSE)) == [
        {"id": webhook.pk, "url": URL, "held_events": 0}
    ]


def test_webhook_enable_is_written_to_the_admin_log(make_disabled: MakeDisabled) -> None:
    webhook = make_disabled()

    run("webhook_enable", webhook.pk, *BECAUSE)

    assert admin_log() == [
        ("command line", "webhook enabled", f"webhook {webhook.pk} ({URL})", "the receiver is back")
    ]
    assert AdminLog.objects.get().account == webhook.account


def test_webhook_enable_makes_held_events_due(make_disabled: MakeDisabled) -> None:
    webhook = make_disabled()
    Device.objects.create(account=webhook.account)
    assert due.due_webhooks(unwoken_s=0, outage=False) == []

    run("webhook_enable", webhook.pk, *BECAUSE)

    assert due.due_webhooks(unwoken_s=0, outage=False) == [webhook.pk]


def test_webhook_enable_by_account(make_disabled: MakeDisabled, other_account: Account) -> None:
    own, other = make_disabled(), make_disabled(account=other_account)

    run("webhook_enable", "--account", "Acme", *BECAUSE)

    assert health(own) == ENABLED_AGAIN
    assert health(other) == STILL_DISABLED


def test_webhook_enable_all_that_are_disabled(
    webhook: WebhookConfig, make_disabled: MakeDisabled, other_account: Account
) -> None:
    own, other = make_disabled(), make_disabled(account=other_account)

    run("webhook_enable", "--all-disabled", *BECAUSE)

    assert health(own) == health(other) == ENABLED_AGAIN
    assert health(webhook) == (None, "", 0, None, 1)
    assert len(admin_log()) == 2


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2026-03-01T11:59", "2026-03-01T12:01"),
        ("2026-03-01T12:00", "2026-03-01T12:00"),
        ("2026-03-01 11:59:59", "2026-03-01 12:00:01"),
        ("2026-03-01T11:59Z", "2026-03-01T12:01Z"),
        ("2026-03-01T13:59+02:00", "2026-03-01T14:01+02:00"),
        ("2026-03-01", "2026-03-02"),
    ],
)
def test_webhook_enable_by_the_time_of_disabling(
    webhook: WebhookConfig, make_disabled: MakeDisabled, first: str, last: str
) -> None:
    _, within, _ = (make_disabled(NOON + timedelta(days=days)) for days in (-2, 0, 2))

    run("webhook_enable", "--disabled-between", first, last, *BECAUSE)

    assert health(within) == ENABLED_AGAIN
    assert WebhookConfig.objects.filter(epoch=7, disabled_at__isnull=False).count() == 2
    assert [entry[2] for entry in admin_log()] == [f"webhook {within.pk} ({URL})"]


def test_webhook_enable_heeds_the_time_zone(make_disabled: MakeDisabled) -> None:
    webhook = make_disabled()

    printed = run("webhook_enable", "--disabled-between",
                  "2026-03-01T11:59+02:00", "2026-03-01T12:01+02:00", *BECAUSE)  # fmt: skip

    assert printed == "none of these webhooks is disabled\n"
    assert health(webhook) == STILL_DISABLED


@pytest.mark.parametrize("as_json", [False, True])
def test_webhook_enable_dry_run_changes_nothing(make_disabled: MakeDisabled, as_json: bool) -> None:
    webhook = make_disabled()
    before = written()

    printed = run("webhook_enable", "--all-disabled", "--dry-run", *BECAUSE, *["--json"] * as_json)

    if as_json:
        assert json.loads(printed) == [{"id": webhook.pk, "url": URL, "held_events": 0}]
    else:
        assert printed.splitlines()[-1] == "1 would be enabled"
    assert written() == before


def test_webhook_enable_of_an_enabled_webhook_is_no_error(webhook: WebhookConfig) -> None:
    before = written()

    assert run("webhook_enable", webhook.pk, *BECAUSE) == "none of these webhooks is disabled\n"
    assert run("webhook_enable", webhook.pk, *BECAUSE, "--json") == "[]\n"
    assert written() == before


def test_webhook_enable_of_an_unknown_id_changes_nothing(make_disabled: MakeDisabled) -> None:
    webhook = make_disabled()

    refused(f"no webhook has the ID {webhook.pk + 1}, {'9' * 25}: none was changed",
            "webhook_enable", webhook.pk, webhook.pk + 1, "9" * 25, *BECAUSE)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["1"], "required: --reason"),
        (["1", "--reason", ""], "--reason is empty: give a reason"),
        (["1", "--reason", "  "], "--reason is empty: give a reason"),
        ([*BECAUSE], "choose webhooks by ID, --account, --disabled-between or --all-disabled"),
        (["1", "--all-disabled", *BECAUSE], "not both"),
        (["1", "--account", "Acme", *BECAUSE], "not both"),
        (["1", "--disabled-between", "2026-03-01", "2026-03-02", *BECAUSE], "not both"),
        (["--account", "Acme", "--all-disabled", *BECAUSE], "not allowed with argument --account"),
        (["--account", "Nobody", *BECAUSE], "no account has the ID or the name 'Nobody'"),
        (["one", *BECAUSE], "ID: invalid int value: 'one'"),
        (["--disabled-between", "2026-03-01", *BECAUSE], "expected 2 arguments"),
        (["--disabled-between", "2026-03-02", "2026-03-01", *BECAUSE], "is after TO"),
        (["--disabled-between", "noon", "2026-03-02", *BECAUSE], "'noon' is not a time"),
        (["--disabled-between", "2026-02-30T10:00", "2026-03-02", *BECAUSE],
         "'2026-02-30T10:00' is not a time"),
    ],
)  # fmt: skip
def test_webhook_enable_refuses(
    make_disabled: MakeDisabled, arguments: list[str], words: str
) -> None:
    make_disabled()

    refused(words, "webhook_enable", *arguments)


# --- webhook_disable ---


def test_webhook_disable_says_who_and_why(
    webhook: WebhookConfig, make_webhook: MakeWebhook
) -> None:
    other, began = make_webhook(), timezone.now()

    printed = run("webhook_disable", webhook.pk, "--reason", "maintenance")

    webhook.refresh_from_db()
    assert webhook.disabled_at is not None
    assert began - timedelta(minutes=1) < webhook.disabled_at < began + timedelta(minutes=1)
    assert reasons.in_utc(webhook) == "by command line: maintenance"
    assert health(other) == (None, "", 0, None, 1)
    assert printed.splitlines()[-1] == "1 disabled"
    assert admin_log() == [
        ("command line", "webhook disabled", f"webhook {webhook.pk} ({URL})", "maintenance")
    ]


def test_webhook_disable_holds_what_waits(device: Device, webhook: WebhookConfig) -> None:
    Device.objects.change([NewStatus(device.device_id, "compliant")])

    assert json.loads(run("webhook_disable", webhook.pk, "--reason", "maintenance", "--json")) == [
        {"id": webhook.pk, "url": URL}
    ]

    assert Delivery.objects.annotate(place=place()).values_list("place", flat=True).get() == "held"
    assert claims.claim(webhook.pk) is None


def test_webhook_disable_of_a_disabled_webhook_is_no_error(make_disabled: MakeDisabled) -> None:
    webhook = make_disabled()
    before = written()

    printed = run("webhook_disable", webhook.pk, "--reason", "maintenance")

    assert printed == "these webhooks are already disabled\n"
    assert written() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--reason", "x"], "required: ID"),
        (["1"], "required: --reason"),
        (["1", "--reason", " "], "--reason is empty: give a reason"),
        (["one", "--reason", "x"], "ID: invalid int value: 'one'"),
    ],
)
def test_webhook_disable_refuses(webhook: WebhookConfig, arguments: list[str], words: str) -> None:
    refused(words, "webhook_disable", *arguments)


def test_webhook_disable_of_an_unknown_id_changes_nothing(webhook: WebhookConfig) -> None:
    refused(f"no webhook has the ID {webhook.pk + 1}: none was changed",
            "webhook_disable", webhook.pk, webhook.pk + 1, "--reason", "x")  # fmt: skip


# --- webhook_test ---


@pytest.fixture
def receiver() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def worker(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pushes immediately in this process, where the product would wake a worker."""

    def push_at_once(webhook_ids: list[int]) -> None:
        for webhook_id in webhook_ids:
            tasks.push_due(webhook_id)

    monkeypatch.setattr(wake, "now", push_at_once)


def test_webhook_test_delivered(
    worker: None, webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    receiver.post(URL, status=202, body="thanks")

    printed = json.loads(run("webhook_test", webhook.pk, "--json"))

    row = WebhookLog.objects.get()
    assert printed == {
        "push_id": str(row.push_id),
        "outcome": "delivered",
        "status_code": 202,
        "detail": "",
        "duration_ms": row.duration_ms,
        "response_body": "thanks",
        "response_cut": False,
    }
    assert (row.kind, row.device_ids, row.attempt) == ("test", ["TEST000000000000"], 1)
    assert receiver.calls[0].request.headers["Webhook-Id"] == printed["push_id"]
    assert admin_log() == [
        ("command line", "test push requested", f"webhook {webhook.pk} ({URL})", "")
    ]


def test_webhook_test_in_words(
    worker: None, webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    receiver.post(URL, status=204)

    printed = run("webhook_test", webhook.pk)

    assert printed == f"delivered: HTTP 204, {WebhookLog.objects.get().duration_ms} ms\n"


def test_webhook_test_failed_is_exit_code_1(
    worker: None, webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    receiver.post(URL, status=503)
    printed = StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command("webhook_test", str(webhook.pk), stdout=printed)

    duration_ms = WebhookLog.objects.get().duration_ms
    assert ended.value.code == 1
    assert printed.getvalue() == f"failed: HTTP 503 Service Unavailable, {duration_ms} ms\n"
    assert len(receiver.calls) == 1
    assert health(webhook) == (None, "", 0, None, 1), "a test push changed the webhook's health"


def test_webhook_test_of_a_disabled_webhook_leaves_it_so(
    worker: None, make_disabled: MakeDisabled, receiver: responses.RequestsMock
) -> None:
    webhook = make_disabled()
    receiver.post(URL, status=200)

    assert json.loads(run("webhook_test", webhook.pk, "--json"))["outcome"] == "delivered"
    assert health(webhook) == STILL_DISABLED


def test_webhook_test_without_a_worker_says_so(
    webhook: WebhookConfig, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOK_TIMEOUT_S = 0
    monkeypatch.setattr(claims, "SLICE_S", 0)

    with pytest.raises(CommandError, match="no worker took the test push within 0 s"):
        run("webhook_test", webhook.pk)

    assert not WebhookLog.objects.exists()
    assert isinstance(Delivery.objects.get().push_id, UUID)


@pytest.mark.parametrize("unknown", ["0", "-1", "9" * 25])
def test_webhook_test_refuses_an_unknown_id(webhook: WebhookConfig, unknown: str) -> None:
    refused(f"no webhook has the ID {unknown}", "webhook_test", "--", unknown)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [([], "required: ID"), (["one"], "ID: invalid int value"), (["1", "2"], "unrecognized")],
)
def test_webhook_test_refuses(webhook: WebhookConfig, arguments: list[str], words: str) -> None:
    refused(words, "webhook_test", *arguments)


# --- webhook_receiver ---


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--status", "99"], "--status is 99: use an HTTP status from 200 to 599"),
        (["--status", "600"], "--status is 600"),
        (["--status", "ok"], "--status: invalid int value: 'ok'"),
        (["--delay", "-1"], "must not be negative"),
        (["--delay", "long"], "--delay: invalid float value: 'long'"),
        (["--fail-first", "-1"], "must not be negative"),
        (["--fail-first", "1.5"], "--fail-first: invalid int value: '1.5'"),
        (["--port", "65536"], "cannot listen on port 65536"),
        (["--port", "http"], "--port: invalid int value: 'http'"),
        (["--api-key", ""], "Enter the API key"),
        (["--api-key", "schlüssel"], "character that cannot be sent"),
    ],
)
def test_webhook_receiver_refuses(db: None, arguments: list[str], words: str) -> None:
    refused(words, "webhook_receiver", *arguments)


def test_webhook_receiver_refuses_a_port_that_is_taken(db: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        refused(f"cannot listen on port {port}: .*in use", "webhook_receiver", "--port", port)


# --- webhook_replay ---

SINCE = ("--since", "2026-03-01T14:00")


@pytest.mark.parametrize(("words", "arguments"), [
    ("no webhook has the ID 999999", (999_999, *SINCE)),
    ("'soon' is not a time", ("{id}", "--since", "soon")),
    ("--limit is 0: use a number from 1 to 100000", ("{id}", *SINCE, "--limit", "0")),
    ("is not before --until 2020-01-01", ("{id}", *SINCE, "--until", "2020-01-01")),
])  # fmt: skip
def test_webhook_replay_refuses(
    webhook: WebhookConfig, words: str, arguments: tuple[object, ...]
) -> None:
    named = [str(argument).format(id=webhook.pk) for argument in arguments]

    refused(words, "webhook_replay", *named)


def test_webhook_replay_needs_the_plan(webhook: WebhookConfig, account: Account) -> None:
    Account.objects.filter(pk=account.pk).update(plan="standard")

    refused("not on the Enterprise plan", "webhook_replay", webhook.pk, *SINCE)


def test_webhook_replay_of_a_disabled_webhook_is_held(make_disabled: MakeDisabled) -> None:
    webhook = make_disabled()
    Device.objects.create(account=webhook.account)
    Delivery.objects.update(state=State.FAILED)

    printed = run("webhook_replay", webhook.pk, "--since", "2020-01-01")

    assert printed == "Events queued for replay: 1, held until the webhook is enabled\n"
    assert with_counts(WebhookConfig.objects.all()).get().held_events == 1
