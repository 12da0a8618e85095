"""The hour that a clock shows twice, and the one that it skips, where somebody enters a time."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.http import urlencode

from metaaccess.models import User
from webhooks.models import WebhookConfig

LOG = reverse("admin:eventlog_adminlog_changelist")


@pytest.fixture
def ada(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    client.cookies["timezone"] = "Europe/Berlin"
    return client


def asked(client: Client, since: str) -> Any:
    return client.get(f"{LOG}?{urlencode({'timeframe': 'custom', 'since': since})}")


def inputs(answer: Any) -> list[tuple[str, str]]:
    """The type and the value of the field."""
    (found,) = re.findall(r'<input[^>]*name="since"[^>]*>', answer.content.decode())
    return [(re.findall(r' type="([^"]*)"', found)[0], re.findall(r' value="([^"]*)"', found)[0])]


@pytest.mark.parametrize(
    ("entered", "read", "chip"),
    [
        ("2026-10-25T02:30", "2026-10-25T00:30+00:00", "From 25 Oct 2026 02:30 CEST"),
        ("2026-10-25T00:30Z", "2026-10-25T00:30+00:00", "From 25 Oct 2026 02:30 CEST"),
        ("2026-10-25T02:30+01:00", "2026-10-25T01:30+00:00", "From 25 Oct 2026 02:30 CET"),
        ("2026-03-29T02:30", "2026-03-29T01:30+00:00", "From 29 Mar 2026 03:30"),
        ("2026-06-01 02:30", "2026-06-01T00:30+00:00", "From 1 Jun 2026 02:30"),
        ("2026-06-01", "2026-05-31T22:00+00:00", "From 1 Jun 2026 00:00"),
    ],
)
def test_a_log_reads_every_time_of_a_clock(ada: Client, entered: str, read: str, chip: str) -> None:
    answer = asked(ada, entered)

    form = answer.context["form"]
    assert form.errors == {}
    assert form.cleaned_data["since"].isoformat(timespec="minutes") == read
    assert [each.text for each in answer.context["chips"]] == [chip]
    ((_, shown),) = inputs(answer)
    again = asked(ada, shown).context["form"].cleaned_data["since"]
    assert again.isoformat(timespec="minutes") == read


def test_the_second_of_two_hours_is_shown_with_its_zone(ada: Client) -> None:
    assert inputs(asked(ada, "2026-10-25T00:30Z")) == [("datetime-local", "2026-10-25T02:30")]
    assert inputs(asked(ada, "2026-10-25T01:30Z")) == [("text", "2026-10-25T02:30+01:00")]


def test_what_is_no_time_is_still_refused(ada: Client) -> None:
    for wrong in ("2026-02-30T02:30", "soon", "0001-01-01T00:00"):
        assert list(asked(ada, wrong).context["form"].errors) == ["since"]


def test_events_are_sent_again_from_any_time_of_a_clock(
    ada: Client, webhook: WebhookConfig
) -> None:
    page = reverse("admin:webhooks_webhookconfig_replay", args=[webhook.pk])

    answer: Any = ada.post(
        page, {"since": "2026-03-29T02:30", "until": "2026-10-25T02:30", "only": "all"}
    )

    form = answer.context["form"]
    assert form.errors == {}
    assert [form.cleaned_data[name].isoformat() for name in ("since", "until")] == [
        "2026-03-29T01:30:00+00:00", "2026-10-25T00:30:00+00:00",
    ]  # fmt: skip
