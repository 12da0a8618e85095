"""Every page of the console, found by walking its URLs, opened by users without access to it."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.test import Client
from django.urls import reverse

from console.base import LogAdmin
from eventlog.models import AdminLog, WebhookLog
from metaaccess.models import Account, ApiToken, Device, Role, User
from tests.conftest import API_KEY, MakeWebhook, disabled
from tests.console_walk import MODELS, ROUTES, Route, changelist, paths
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import removal

pytestmark = pytest.mark.slow

CANARY = "canaryword"
CANARY_ID = "CANARYWORD000001"
CANARY_URL = f"https://{CANARY}.example/"
LOG_ONS = ("logged on", "logged off", "failed authentication")
# These fields are derived from secrets and cannot hold the canary.
SECRETS = {"password", "digest", "token_key", "previous_signing_secret_sealed"} | {
    f"{name}_{part}" for name in ("api_key", "signing_secret") for part in ("sealed", "hint")
}
# Empty if a user disabled the webhook, as here.
SECRETS |= {"disabled_last_failure"}

Rows = dict[type[models.Model], models.Model]


# --- The routes ---

EVERY_ROUTE = pytest.mark.parametrize("route", ROUTES, ids=[route.template for route in ROUTES])
ACTIONS = [
    (model, name)
    for model, model_admin in admin.site._registry.items()
    for _, name, _ in model_admin._get_base_actions()  # type: ignore[attr-defined]
]
EVERY_ACTION = pytest.mark.parametrize(
    ("model", "action"), ACTIONS, ids=[f"{model.__name__}-{name}" for model, name in ACTIONS]
)
EVERY_MODEL = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)

INDEX, LOGIN, LOGOUT = "/console/", "/console/login/", "/console/logout/"


# --- The rows ---


def words_of(model: type[models.Model]) -> dict[str, Any]:
    """The canary for each text field."""
    words: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        if isinstance(field, ArrayField) and not field.base_field.choices:
            words[field.name] = [CANARY_ID]
        elif isinstance(field, models.CharField | models.TextField) and not field.choices:
            words[field.name] = CANARY_URL if field.name == "url" else CANARY
    return {name: word for name, word in words.items() if name not in SECRETS}


@pytest.fixture
def acme(account: Account, make_webhook: MakeWebhook) -> Rows:
    """A row of each model that has pages, with the canary in every text field."""
    now = datetime.now(UTC)
    person = User.objects.create_user(f"{CANARY}@acme.example", "pw", account=account)
    make_webhook(**disabled(now, note=CANARY))
    Device.objects.create(account=account, device_id=CANARY_ID)
    WebhookLog.objects.create(
        account=account, time=now, webhook_id=1, push_id=uuid4(), attempt=1, outcome="failed",
        duration_ms=1, event_count=1, device_ids=[CANARY_ID],
    )  # fmt: skip
    AdminLog.objects.create(account=account)
    ApiToken.objects.create(person, name="token")
    rows: Rows = {}
    for model in MODELS.values():
        words = {name: word for name, word in words_of(model).items() if name != "device_id"}
        words.pop("email", None)
        of_person = {"pk": person.pk} if model is User else {}
        row = model._base_manager.filter(**of_person).first()
        assert row is not None, f"a new page: add to Acme a row of {model.__name__}"
        if words:
            models.QuerySet(model).filter(pk=row.pk).update(**words)
        rows[model] = model._base_manager.get(pk=row.pk)
    return rows


def everything() -> dict[str, list[dict[str, Any]]]:
    """All rows, without the traces of signing in."""
    found = {
        name: list(model._base_manager.order_by("pk").values()) for name, model in MODELS.items()
    }
    log = found["eventlog/adminlog"]
    found["eventlog/adminlog"] = [row for row in log if row["action"] not in LOG_ONS]
    for row in found["metaaccess/user"]:
        del row["last_login"]
    return found


def account_path(model: type[models.Model]) -> str:
    return str(getattr(admin.site._registry[model], "account_path", "user__account"))


def rows_of(account: models.Model) -> dict[str, list[dict[str, Any]]]:
    return {
        name: list(
            model._base_manager.filter(**{account_path(model): account.pk}).order_by("pk").values()
        )
        for name, model in MODELS.items()
    }


def text(answer: Any) -> str:
    shown: str = answer.content.decode() + str(answer.headers)
    return shown.lower()


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def may_change(route: Route) -> bool:
    """Whether the console can change such rows at all."""
    return route.model is not None and not isinstance(admin.site._registry[route.model], LogAdmin)


def filled_in(route: Route, path: str, operator: User) -> dict[str, Any]:
    """What an operator would post here to change something. Empty if nothing can be changed."""
    if not may_change(route):
        return {}
    if route.page == "delete":
        return {"post": "yes"}
    if route.page == "password":
        return {"password1": "a-long-and-rare-word", "password2": "a-long-and-rare-word"}
    if route.page != "change":
        return {}
    form = signed_in(operator).get(path).context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    values |= {"name": "renamed", "email": "renamed@acme.example", "status": "compliant",
               "events": ["deleted"], "role": "read_only"}  # fmt: skip
    return {name: value for name, value in values.items() if value not in (None, False)}


def test_every_text_of_acmes_rows_is_the_canary(acme: Rows) -> None:
    plain = [
        f"{model.__name__}.{name}"
        for model, row in acme.items()
        for name in words_of(model)
        if CANARY not in str(getattr(row, name)).lower()
    ]

    assert plain == []
    assert len(acme) == len(MODELS) == len(admin.site._registry)


def test_the_walk_finds_the_pages() -> None:
    templates = {route.template for route in ROUTES}

    for page in ("", "add/", "%(object_id)s/change/", "%(object_id)s/delete/"):
        assert {f"/console/{name}/{page}" for name in MODELS} <= templates
    assert {INDEX, LOGIN, LOGOUT} <= templates


# --- Not signed in ---


@EVERY_ROUTE
@pytest.mark.parametrize("method", ["get", "post"])
def test_an_anonymous_user_is_sent_to_the_login(
    route: Route, method: str, acme: Rows, client: Client
) -> None:
    before = everything()
    for path in paths(route, acme):
        answer = getattr(client, method)(path)

        if path == LOGIN:
            assert answer.status_code == 200
        elif path == LOGOUT:
            assert (answer.status_code, answer.url) == (302, INDEX)
        else:
            assert answer.status_code == 302
            assert answer.url.startswith(f"{LOGIN}?next=/console/")
        assert CANARY not in text(answer)
    assert everything() == before


def test_an_inactive_user_is_sent_to_the_login(acme: Rows, administrator: User) -> None:
    client = signed_in(administrator)
    User.objects.update(is_active=False)

    answer = client.get(changelist(Device))

    assert answer.status_code == 302
    assert answer.url.startswith(f"{LOGIN}?next=")  # type: ignore[attr-defined]


# --- The outsider ---


@EVERY_ROUTE
@pytest.mark.parametrize("method", ["get", "post"])
def test_an_outsider_sees_and_changes_nothing(
    route: Route, method: str, acme: Rows, outsider: User, operator: User
) -> None:
    for path in paths(route, acme):
        data = filled_in(route, path, operator) if method == "post" else {}
        client = signed_in(outsider)
        before = everything()

        answer = getattr(client, method)(path, data, follow=True)

        assert CANARY not in text(answer)
        assert everything() == before
        if route.is_of_a_row and answer.status_code not in (403, 404):
            assert answer.redirect_chain[-1][0] == INDEX


@EVERY_ACTION
@pytest.mark.parametrize("across", ["0", "1"])
def test_an_outsiders_action_reaches_nothing(
    model: type[models.Model], action: str, across: str, acme: Rows, outsider: User
) -> None:
    before = rows_of(acme[Account])
    data = {"action": action, "_selected_action": [acme[model].pk], "post": "yes",
            "select_across": across, "index": "0"}  # fmt: skip

    answer = signed_in(outsider).post(changelist(model), data, follow=True)

    assert CANARY not in text(answer)
    assert rows_of(acme[Account]) == before


@EVERY_MODEL
def test_an_outsiders_search_and_filters_find_nothing(
    model: type[models.Model], acme: Rows, outsider: User
) -> None:
    client, by_account = signed_in(outsider), f"{account_path(model)}__id__exact"
    queries: list[dict[str, Any]] = [
        {"q": CANARY[1:-1]},
        {by_account: acme[Account].pk},
        {"id__gt": "0"},
        {"o": "1"},
    ]
    for query in queries:
        answer = client.get(changelist(model), query, follow=True)

        assert CANARY not in text(answer)


@EVERY_MODEL
def test_an_outsiders_autocompletion_offers_nothing(
    model: type[models.Model], acme: Rows, outsider: User
) -> None:
    client = signed_in(outsider)
    for field in model._meta.concrete_fields:
        query = {
            "app_label": model._meta.app_label,
            "model_name": str(model._meta.model_name),
            "field_name": field.name,
            "term": "",
        }

        answer = client.get(reverse("admin:autocomplete"), query)

        assert CANARY not in text(answer)


def test_an_outsiders_palette_finds_nothing(acme: Rows, outsider: User) -> None:
    answer = signed_in(outsider).get("/console/search/", {"s": CANARY[1:-1], "extended": "1"})

    assert answer.status_code == 200
    assert CANARY not in text(answer)


# --- The colleague, who may only read ---


@EVERY_ROUTE
def test_a_colleague_sees_all_of_the_account(route: Route, acme: Rows, colleague: User) -> None:
    for path in paths(route, acme):
        answer = signed_in(colleague).get(path, follow=True)

        if route.page in ("add", "delete", "password"):
            assert answer.status_code == 403
            assert CANARY not in text(answer)
        elif route.is_changelist or route.page == "change":
            assert answer.status_code == 200
            assert CANARY in text(answer)
        else:
            assert answer.status_code in (200, 403, 404, 405)


@EVERY_ROUTE
def test_a_colleague_changes_nothing(
    route: Route, acme: Rows, colleague: User, operator: User
) -> None:
    for path in paths(route, acme):
        data = filled_in(route, path, operator)
        client = signed_in(colleague)
        before = everything()

        answer = client.post(path, data)

        assert everything() == before
        if route.page in ("add", "change", "delete", "password"):
            assert answer.status_code == 403


@EVERY_ACTION
@pytest.mark.parametrize("across", ["0", "1"])
def test_a_colleagues_action_changes_nothing(
    model: type[models.Model], action: str, across: str, acme: Rows, colleague: User
) -> None:
    client = signed_in(colleague)
    before = everything()
    data = {"action": action, "_selected_action": [acme[model].pk], "post": "yes",
            "select_across": across, "index": "0"}  # fmt: skip

    client.post(changelist(model), data, follow=True)

    assert everything() == before


def test_a_colleague_cannot_promote_themselves(colleague: User) -> None:
    page = reverse("admin:metaaccess_user_change", args=[colleague.pk])
    before = everything()

    answer = signed_in(colleague).post(
        page, {"email": colleague.email, "account": "", "role": "administrator", "is_active": "on"}
    )

    assert answer.status_code == 403
    assert everything() == before


# --- The operator ---


@EVERY_ROUTE
def test_an_operator_sees_all(route: Route, acme: Rows, operator: User) -> None:
    for path in paths(route, acme):
        answer = signed_in(operator).get(path, follow=True)

        if route.template in (LOGOUT, reverse("admin:autocomplete")):
            assert answer.status_code in (403, 405)
        elif answer.status_code == 405:
            assert "GET" not in answer["Allow"], "a page that only takes POST"
        elif {"url", "content_type_id"} & set(route.gaps):
            assert answer.status_code == 404
        elif route.page in ("add", "delete") and not may_change(route):
            assert answer.status_code == 403
        else:
            assert answer.status_code == 200
            if route.is_changelist or route.page in ("change", "delete"):
                assert CANARY in text(answer)


CHANGING = [route for route in ROUTES if route.page in ("change", "password") and may_change(route)]


@pytest.mark.parametrize("route", CHANGING, ids=[route.template for route in CHANGING])
def test_an_operators_post_does_change_something(route: Route, acme: Rows, operator: User) -> None:
    """Proves that the posts above would have changed something if they had been allowed."""
    (path,) = paths(route, acme)
    data = filled_in(route, path, operator)
    before = everything()

    answer = signed_in(operator).post(path, data)

    assert answer.status_code == 302
    assert everything() != before


@EVERY_MODEL
def test_an_operators_search_finds_a_row(
    model: type[models.Model], acme: Rows, operator: User
) -> None:
    answer = signed_in(operator).get(changelist(model), {"q": CANARY})

    assert answer.status_code == 200
    context = answer.context
    assert list(context["cl"].queryset if "cl" in context else context["rows"]) == [acme[model]]


# --- The administrator of one account ---

PASSWORD = "a-long-and-rare-word"


def new_user(account: object) -> dict[str, object]:
    return {"email": "new@acme.example", "account": account, "role": "administrator",
            "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}  # fmt: skip


def test_an_administrator_adds_a_user_to_the_account(administrator: User) -> None:
    answer = signed_in(administrator).post(
        reverse("admin:metaaccess_user_add"), new_user(administrator.account_id)
    )

    assert answer.status_code == 302
    assert User.objects.get(email="new@acme.example").account == administrator.account


@pytest.mark.parametrize("whose", ["nobody's", "left out", "another's"])
def test_an_administrator_adds_no_user_elsewhere(
    administrator: User, other_account: Account, whose: str
) -> None:
    data = new_user(other_account.pk if whose == "another's" else "")
    if whose == "left out":
        del data["account"]
    before = everything()

    answer = signed_in(administrator).post(reverse("admin:metaaccess_user_add"), data)

    assert answer.status_code == 200
    assert "account" in answer.context["adminform"].form.errors
    assert everything() == before


@pytest.mark.parametrize("whose", ["nobody's", "left out", "another's"])
@pytest.mark.parametrize("who", ["themselves", "a colleague"])
def test_an_administrator_moves_no_user(
    administrator: User, colleague: User, other_account: Account, who: str, whose: str
) -> None:
    user = administrator if who == "themselves" else colleague
    data: dict[str, object] = {"email": user.email, "role": user.role, "is_active": "on"}
    if whose != "left out":
        data["account"] = other_account.pk if whose == "another's" else ""
    client = signed_in(administrator)

    client.post(reverse("admin:metaaccess_user_change", args=[user.pk]), data)

    user.refresh_from_db()
    assert user.account == administrator.account
    assert not User.objects.filter(account=None).exists()


def test_an_administrator_cannot_become_an_operator(administrator: User) -> None:
    data = {"email": administrator.email, "account": administrator.account_id, "is_active": "on",
            "role": Role.ADMINISTRATOR, "is_operator": "on", "is_superuser": "on",
            "is_staff": "on", "account_id": ""}  # fmt: skip

    signed_in(administrator).post(
        reverse("admin:metaaccess_user_change", args=[administrator.pk]), data
    )

    administrator.refresh_from_db()
    assert not administrator.is_operator


def test_an_administrator_cannot_change_the_plan(administrator: User, account: Account) -> None:
    before = everything()

    answer = signed_in(administrator).post(
        reverse("admin:metaaccess_account_change", args=[account.pk]),
        {"name": "Acme", "plan": "standard"},
    )

    assert answer.status_code == 403
    assert everything() == before


@pytest.mark.parametrize(
    ("page", "data"),
    [
        ("metaaccess_device_add", {"device_id": "A" * 16, "name": "laptop", "os": ""}),
        (
            "webhooks_webhookconfig_add",
            {"name": "", "url": "https://receiver.example/", "events": ["deleted"],
             "events_per_push": "1", "api_key": API_KEY},
        ),
    ],
)  # fmt: skip
def test_an_administrator_adds_nothing_to_another_account(
    administrator: User, other_account: Account, page: str, data: dict[str, object]
) -> None:
    client, before = signed_in(administrator), everything()

    refused = client.post(reverse(f"admin:{page}"), data | {"account": other_account.pk})
    assert refused.status_code == 200
    assert list(refused.context["adminform"].form.errors) == ["account"]
    assert everything() == before

    accepted = client.post(reverse(f"admin:{page}"), data | {"account": administrator.account_id})
    assert accepted.status_code == 302
    assert everything() != before


@pytest.mark.parametrize("model", [Device, WebhookConfig])
def test_nobody_moves_a_row_to_another_account(
    administrator: User,
    other_account: Account,
    device: Device,
    webhook: WebhookConfig,
    model: type[models.Model],
) -> None:
    row: Any = device if model is Device else webhook
    data = {"name": "renamed", "os": "", "status": "installed", "device_id": "B" * 16,
            "url": "https://receiver.example/", "events": ["deleted"], "events_per_push": "1",
            "account": other_account.pk, "account_id": other_account.pk}  # fmt: skip

    answer = signed_in(administrator).post(f"{changelist(model)}{row.pk}/change/", data)

    row.refresh_from_db()
    assert (answer.status_code, row.name) == (302, "renamed")
    assert row.account == administrator.account
    assert Device.objects.get().device_id == "6WXJURV8QAM0I7KC"


def test_an_administrator_deletes_a_webhook_that_has_deliveries(
    administrator: User, webhook: WebhookConfig
) -> None:
    Device.objects.create(account=webhook.account)
    assert Delivery.objects.count() == 1

    answer = signed_in(administrator).post(
        reverse("admin:webhooks_webhookconfig_delete", args=[webhook.pk]), {"post": "yes"}
    )

    assert answer.status_code == 302
    assert not WebhookConfig.objects.exists()
    removal.run()
    assert not Delivery.objects.exists()


def test_an_operator_deletes_an_account_that_has_logs(operator: User, acme: Rows) -> None:
    answer = signed_in(operator).post(
        reverse("admin:metaaccess_account_delete", args=[acme[Account].pk]), {"post": "yes"}
    )

    assert answer.status_code == 302
    assert not Account.objects.exists()


# --- Secrets ---


def no_secret(answer: Any) -> None:
    shown = answer.content.decode() + str(answer.headers)
    secrets = [API_KEY]
    secrets += WebhookConfig.objects.values_list("api_key_sealed", flat=True)
    for password in User.objects.values_list("password", flat=True):
        secrets += [password, password.rpartition("$")[2]]
    assert not any(secret in shown for secret in secrets)


@EVERY_ROUTE
@pytest.mark.parametrize("who", ["administrator", "colleague", "operator"])
def test_no_page_shows_a_secret(
    route: Route, who: str, acme: Rows, request: pytest.FixtureRequest
) -> None:
    person = request.getfixturevalue(who)
    for path in paths(route, acme):
        no_secret(signed_in(person).get(path, follow=True))


@pytest.mark.parametrize("url", ["https://receiver.example/", "receiver.example"])
def test_a_key_that_was_entered_is_not_shown_again(
    administrator: User, operator: User, url: str
) -> None:
    client = signed_in(administrator)
    data = {"account": administrator.account_id, "name": "", "url": url, "events": ["deleted"],
            "events_per_push": "1", "api_key": API_KEY, "_continue": "1"}  # fmt: skip

    answer = client.post(reverse("admin:webhooks_webhookconfig_add"), data, follow=True)

    assert answer.status_code == 200
    assert WebhookConfig.objects.count() == (1 if url.startswith("https") else 0)
    no_secret(answer)
    no_secret(client.get(changelist(AdminLog)))
    for webhook in WebhookConfig.objects.all():
        assert webhook.api_key == API_KEY
        page = reverse("admin:webhooks_webhookconfig_change", args=[webhook.pk])
        no_secret(client.post(page, data | {"url": "ftp://x"}, follow=True))
        no_secret(signed_in(operator).get(page))


def test_a_key_that_is_left_empty_is_kept(administrator: User, webhook: WebhookConfig) -> None:
    page = reverse("admin:webhooks_webhookconfig_change", args=[webhook.pk])
    data = {"name": "renamed", "url": webhook.url, "events": ["deleted"], "events_per_push": "1",
            "api_key": ""}  # fmt: skip

    assert signed_in(administrator).post(page, data).status_code == 302

    webhook.refresh_from_db()
    assert (webhook.name, webhook.api_key, webhook.epoch) == ("renamed", API_KEY, 1)
