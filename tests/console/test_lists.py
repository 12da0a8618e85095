"""The address of a list accepts the list's own filters only."""

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from console.base import AccountAdmin, LogAdmin
from metaaccess.models import Account, ApiToken, Device, User
from tests.console_walk import changelist
from webhooks.models import WebhookConfig

DEVICES, WEBHOOKS, USERS = (changelist(model) for model in (Device, WebhookConfig, User))
LISTS = [
    changelist(model)
    for model, model_admin in admin.site._registry.items()
    if isinstance(model_admin, AccountAdmin) and not isinstance(model_admin, LogAdmin)
]


@pytest.fixture(autouse=True)
def rows(
    administrator: User, colleague: User, webhook: WebhookConfig, device: Device, operator: User
) -> None:
    ApiToken.objects.create(administrator, name="export")


def signed_in(user: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


@pytest.fixture
def client(colleague: User) -> Client:
    """A reader's."""
    return signed_in(colleague)


def found(answer: Any) -> int:
    count: int = answer.context["cl"].result_count
    return count


@pytest.mark.parametrize(
    ("url", "lookup"),
    [
        (WEBHOOKS, "api_key_sealed__startswith=!"),
        (WEBHOOKS, "signing_secret_sealed__gt=a"),
        (WEBHOOKS, "url__regex=("),
        (WEBHOOKS, "events__contains=x"),
        (WEBHOOKS, "deliveries__device_id=1"),
        (WEBHOOKS, "created_at__year=99999999999999"),
        (DEVICES, "name__regex=("),
        (DEVICES, "name__exact=%00"),
        (DEVICES, "status_changed_at__year=99999999"),
        (DEVICES, "status__regex=("),
        (DEVICES, "id__exact=1"),
        (USERS, "email__regex=("),
        (USERS, "password__startswith=p"),
        (USERS, "role__regex=("),
        (USERS, "account__name__startswith=A"),
        (changelist(ApiToken), "digest__startswith=a"),
        (changelist(ApiToken), "user__password__startswith=p"),
        (changelist(Account), "name__regex=("),
    ],
)
def test_a_list_is_filtered_by_nothing_but_its_filters(
    client: Client, url: str, lookup: str
) -> None:
    assert client.get(f"{url}?{lookup}").status_code == 400


@pytest.mark.parametrize("url", LISTS)
def test_what_is_no_field_leads_to_the_whole_list(client: Client, url: str) -> None:
    for query in ("pk__regex=(", "has_two_factor__regex=(", "timeframe=%00", "zz=1"):
        answer = client.get(f"{url}?{query}")

        assert (answer.status_code, answer.get("Location")) == (302, f"{url}?e=1")
    assert client.get(f"{url}?e=1").status_code == 200


@pytest.mark.parametrize(
    ("url", "query"), [(DEVICES, "status__exact=%00"), (USERS, "role__exact=%00")]
)
def test_a_filter_by_what_no_text_can_hold_leads_to_the_whole_list(
    client: Client, url: str, query: str
) -> None:
    assert client.get(f"{url}?{query}")["Location"] == f"{url}?e=1"


@pytest.mark.parametrize(
    ("url", "query", "count"),
    [
        (DEVICES, "status__exact=installed", 1),
        (DEVICES, "status__exact=compliant", 0),
        (USERS, "role__exact=read_only", 1),
        (USERS, "is_active__exact=0", 0),
        (USERS, "q=carl", 1),
        (USERS, "o=2&p=0&all=", None),
    ],
)
def test_its_own_filters_narrow_a_list(
    client: Client, url: str, query: str, count: int | None
) -> None:
    answer = client.get(f"{url}?{query}")

    assert answer.status_code == 200
    assert count is None or found(answer) == count


@pytest.mark.parametrize("url", [DEVICES, WEBHOOKS, USERS])
def test_operators_narrow_a_list_by_account(
    url: str, account: Account, other_account: Account, operator: User
) -> None:
    client = signed_in(operator)

    here, elsewhere = (
        found(client.get(f"{url}?account__id__exact={each.pk}"))
        for each in (account, other_account)
    )

    assert here > 0 == elsewhere


def test_operators_find_operators(operator: User) -> None:
    client = signed_in(operator)

    assert found(client.get(f"{USERS}?account__isnull=True")) == 1


@pytest.mark.parametrize("url", [DEVICES, WEBHOOKS])
@pytest.mark.parametrize("action", ["delete_selected", "disable", "test"])
def test_a_selected_row_is_named_by_a_number(url: str, action: str, administrator: User) -> None:
    client = signed_in(administrator)
    for key in ("x", "\0", "1_0", "\u0661", "-1", ""):
        sent = {"action": action, "_selected_action": ["1", key], "post": "yes"}

        assert client.post(url, sent).status_code == 400
    assert (Device.objects.count(), WebhookConfig.objects.count()) == (1, 1)


def test_a_choice_is_searched_by_a_text(client: Client) -> None:
    query = "app_label=metaaccess&model_name=device&field_name=account"
    page = f"{reverse('admin:autocomplete')}?{query}"

    assert client.get(f"{page}&term=%00").status_code == 400
    assert client.get(f"{page}&term=Acme").json()["results"][0]["text"] == "Acme"
