"""A form that is posted twice acts once. Every form is found by walking the console."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import models, transaction
from django.test import Client
from django.urls import reverse

from console.base import LogAdmin
from eventlog.models import AdminLog, DeviceLog, WebhookLog
from metaaccess import idempotency
from metaaccess.models import Account, ApiToken, Device, IdempotencyKey, User
from metaaccess.signals import administered
from tests.concurrency import AtOnce, waiting_sessions
from tests.conftest import API_KEY
from tests.console_forms import Form, forms_of
from tests.console_walk import MODELS, ROUTES, Route, paths
from tests.eventlog.attempts import NOON
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery
from webhooks.queue.states import Kind, State

PASSWORD = "a-long-and-rare-word"
TEXTS = {"url": "https://walked.example/", "email": "walked@acme.example",
         "device_id": "WALKED0000000001", "old_password": "pw", "password": "pw"}  # fmt: skip
LOGOUT = reverse("admin:logout")
ADD = reverse("admin:webhooks_webhookconfig_add")
ACTING = ("add", "change", "delete", "password", "disable", "replay")
OURS = ("metaaccess", "eventlog", "webhooks", "otp_totp", "otp_static")
Rows = dict[type[models.Model], models.Model]


@pytest.fixture
def rows(
    account: Account, colleague: User, administrator: User, device: Device, webhook: WebhookConfig
) -> Rows:
    """A row of each model that has pages."""
    ApiToken.objects.create(administrator, name="export")
    recovery.send_test(webhook)
    log = WebhookLog.objects.create(
        account=account, time=NOON, webhook_id=webhook.pk, url=webhook.url, push_id=uuid4(),
        attempt=1, outcome="failed", duration_ms=1, event_count=1, device_ids=[device.device_id],
        request_body='[{"device_id": "6WXJURV8QAM0I7KC", "status": "compliant", "timestamp": 1}]',
    )  # fmt: skip
    found: Rows = {Account: account, User: colleague, Device: device, WebhookConfig: webhook,
                   ApiToken: ApiToken.objects.get(), WebhookLog: log}  # fmt: skip
    found |= {DeviceLog: DeviceLog.objects.get(), AdminLog: AdminLog.objects.get()}
    missing = [model.__name__ for model in MODELS.values() if model not in found]
    assert missing == [], "a new page: give it a row here"
    return found


@pytest.fixture
def olga(operator: User) -> Client:
    client = Client()
    client.force_login(operator)
    return client


def everything() -> dict[str, Any]:
    """All rows except idempotency keys."""
    tables = [model for model in apps.get_models() if model._meta.app_label in OURS]
    tables.remove(IdempotencyKey)
    return {model.__name__: list(model._base_manager.order_by("pk").values()) for model in tables}


def ways_to_send(form: Form) -> Iterator[dict[str, Any]]:
    """The data to post, for each button and each action of a list. Required fields are filled."""
    entered = {name: [entry(form, name)] for name in form.kinds if needs_entry(form, name)}
    for button, value in dict.fromkeys(form.buttons or [("", "")]):
        sent = form.edited(**entered) | ({button: value} if button else {})
        if "action" not in form.options:
            yield sent
            continue
        rows = form.options.get("_selected_action", [])
        for action in filter(None, form.options["action"]):
            yield sent | {"action": action, "_selected_action": rows, "index": "0"}


def model_admin_of(route: Route) -> Any:
    return admin.site._registry.get(route.model) if route.model else None


def needs_entry(form: Form, name: str) -> bool:
    if name in ("name", "email"):
        return True
    return form.kinds[name] not in ("checkbox", "radio") and not form.values[name][0]


def entry(form: Form, name: str) -> str:
    kind = form.kinds[name]
    if kind == "select":
        return next(filter(None, form.options[name]), "")
    if kind == "datetime-local":
        return "2026-01-01T00:00" if name == "since" else ""
    if name in TEXTS:
        return TEXTS[name]
    if kind == "password":
        return "" if name == "signing_secret" else PASSWORD
    return "walked"


def form_with(name: str, answer: Any) -> Form:
    (found,) = (form for form in forms_of(answer) if name in form.values)
    return found


# --- Each form of each page ---


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES, ids=[route.template for route in ROUTES])
def test_each_form_acts_once(route: Route, rows: Rows, olga: Client) -> None:
    acted = False
    for path in paths(route, rows):
        page = olga.get(path)
        if page.status_code != 200 or page.streaming or "text/html" not in page["Content-Type"]:
            continue
        forms = forms_of(page)
        assert [form.action for form in forms if not form.values.get("once", [""])[0]] == []
        for form in (form for form in forms if form.action != LOGOUT):
            for sent in ways_to_send(form):
                at_first = everything()
                undo = transaction.savepoint()
                first = olga.post(form.action or path, sent)
                after_one = everything()

                second = olga.post(form.action or path, sent)

                assert everything() == after_one
                assert second.status_code == first.status_code
                assert second.get("Location") == first.get("Location")
                acted |= after_one != at_first
                transaction.savepoint_rollback(undo)
    assert acted or route.page not in ACTING or isinstance(model_admin_of(route), LogAdmin)


def test_each_rendered_form_has_a_unique_value(olga: Client, webhook: WebhookConfig) -> None:
    page = reverse("admin:webhooks_webhookconfig_change", args=[webhook.pk])

    values = [form.values["once"][0] for _ in range(2) for form in forms_of(olga.get(page))]

    assert len(values) == len(set(values)) > 4


# --- The second response ---


def test_two_clicks_create_one_token_and_both_show_it(olga: Client, operator: User) -> None:
    page = reverse("admin:metaaccess_apitoken_add")
    sent = form_with("name", olga.get(page)).edited(name=["export"])

    shown = [olga.post(page, sent).context, olga.post(page, sent).content.decode()]

    token = shown[0]["shown_once"]  # type: ignore[index]
    assert ApiToken.objects.count() == 1
    assert token in shown[1]
    assert token not in str(everything()) + str(list(IdempotencyKey.objects.values()))


def test_the_second_post_shows_the_same_message(olga: Client, webhook: WebhookConfig) -> None:
    page = reverse("admin:webhooks_webhookconfig_disable", args=[webhook.pk])
    sent = form_with("reason", olga.get(page)).edited(reason=["moved"])
    olga.post(page, sent)
    olga.cookies.pop("messages", None)

    answer = olga.post(page, sent, follow=True)

    assert f"{webhook} is disabled. Its events are held." in answer.content.decode()
    assert AdminLog.objects.filter(action="webhook disabled").count() == 1


def test_a_refused_form_can_be_posted_again(olga: Client, account: Account) -> None:
    form = form_with("url", olga.get(ADD))
    wrong = form.edited(account=[account.pk], url=["ftp://x"], api_key=[API_KEY])
    assert olga.post(ADD, wrong).status_code == 200
    assert not IdempotencyKey.objects.exists()

    saved = olga.post(ADD, wrong | {"url": ["https://receiver.example/"]})

    assert saved.status_code == 302
    assert WebhookConfig.objects.count() == 1


def test_a_stored_response_is_only_for_its_user(
    olga: Client, client: Client, administrator: User, account: Account
) -> None:
    sent = form_with("url", olga.get(ADD)).edited(
        account=[account.pk], url=["https://receiver.example/"], api_key=[API_KEY]
    )
    olga.post(ADD, sent)
    client.force_login(administrator)

    client.post(ADD, sent)

    assert WebhookConfig.objects.count() == 2


def test_stored_responses_expire_after_a_day(olga: Client, webhook: WebhookConfig) -> None:
    page = reverse("admin:webhooks_webhookconfig_disable", args=[webhook.pk])
    olga.post(page, form_with("reason", olga.get(page)).edited())
    assert idempotency.prune() == 0

    IdempotencyKey.objects.update(created_at=NOON)

    assert (idempotency.prune(), IdempotencyKey.objects.count()) == (1, 0)


def test_sign_out_works(olga: Client) -> None:
    page = reverse("admin:index")
    (form,) = (form for form in forms_of(olga.get(page)) if form.action == LOGOUT)

    olga.post(LOGOUT, form.edited())

    assert olga.get(page).status_code == 302


# --- Two at once ---


@pytest.fixture
def first_one() -> Iterator[Callable[[bool], None]]:
    """Holds the first transaction that writes to the Admin log until another one waits for it. Then
    the first one continues, or fails."""
    handlers = []

    def install(fails: bool) -> None:
        is_first = threading.Lock()

        def hold(**kwargs: Any) -> None:
            if not is_first.acquire(blocking=False):
                return
            until = time.monotonic() + 30
            while not waiting_sessions() and time.monotonic() < until:
                time.sleep(0.01)
            assert waiting_sessions(), "the second did not wait for the first"
            if fails:
                raise ZeroDivisionError

        handlers.append(hold)
        administered.connect(hold, weak=False)

    yield install
    for hold in handlers:
        administered.disconnect(hold)


@pytest.mark.parametrize("fails", [False, True], ids=["done", "rolled back"])
def test_of_two_clicks_at_once_one_acts(
    fails: bool,
    at_once: AtOnce,
    first_one: Callable[[bool], None],
    operator: User,
    account: Account,
) -> None:
    clients = [Client(raise_request_exception=False) for _ in range(2)]
    clients[0].force_login(operator)
    clients[1].cookies = clients[0].cookies
    sent = form_with("url", clients[0].get(ADD)).edited(
        account=[account.pk], url=["https://receiver.example/"], api_key=[API_KEY]
    )
    first_one(fails)

    answers = at_once(*(lambda client=client: client.post(ADD, sent) for client in clients))

    webhook = WebhookConfig.objects.get()
    health = reverse("admin:webhooks_webhookconfig_health", args=[webhook.pk])
    assert sorted(answer.status_code for answer in answers) == [302, 500 if fails else 302]
    assert {answer.get("Location") for answer in answers} - {None} == {health}
    assert AdminLog.objects.filter(action="webhook created").count() == 1


def test_of_two_users_who_take_a_name_at_once_one_gets_an_error(
    at_once: AtOnce, first_one: Callable[[bool], None], operator: User
) -> None:
    add, acts = reverse("admin:metaaccess_account_add"), []
    for _ in range(2):
        client = Client()
        client.force_login(operator)
        sent = form_with("plan", client.get(add)).edited(name=["Newcomer"], plan=["standard"])
        acts.append(lambda client=client, sent=sent: client.post(add, sent))
    first_one(False)

    answers = at_once(*acts)

    (told,) = (answer for answer in answers if answer.status_code == 200)
    assert list(told.context["adminform"].form.errors) == ["name"]
    assert Account.objects.count() == 1


def test_of_two_replays_at_once_one_queues_the_events(
    at_once: AtOnce, operator: User, webhook: WebhookConfig, device: Device
) -> None:
    """Two pages have two values. The second POST finds what the first one queued."""
    Delivery.objects.update(state=State.FAILED, push_id=UUID(int=1))
    page = reverse("admin:webhooks_webhookconfig_replay", args=[webhook.pk])
    acts = []
    for _ in range(2):
        client = Client()
        client.force_login(operator)
        sent = form_with("since", client.get(page)).edited(since=["2020-01-01T00:00"], send="1")
        acts.append(lambda client=client, sent=sent: client.post(page, sent))

    answers = at_once(*acts)

    assert sorted(answer["Location"] for answer in answers) == [f"{page}?sent=0", f"{page}?sent=1"]
    assert Delivery.objects.filter(kind=Kind.REPLAY).count() == 1
    told = Client()
    told.force_login(operator)
    assert f"Last replay by {operator} at" in told.get(f"{page}?sent=0").content.decode()
