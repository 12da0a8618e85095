"""`Account.save()`: an object that was read a while ago writes what it changed, and no more."""

from datetime import timedelta

import pytest
from django.db import connection
from django.http import Http404
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from metaaccess.models import Account, Plan

pytestmark = pytest.mark.django_db


def stored(account: Account) -> tuple[str, str]:
    (found,) = Account.objects.filter(pk=account.pk).values_list("name", "plan")
    return found


def test_an_old_object_keeps_anothers_plan(account: Account) -> None:
    old = Account.objects.get(pk=account.pk)
    account.plan = Plan.STANDARD
    account.save()

    old.name = "Renamed"
    old.save()

    assert stored(account) == ("Renamed", "standard")
    assert (old.plan, old.plan_since) == ("standard", account.plan_since)


def test_an_old_object_keeps_since_when_the_plan_is(account: Account) -> None:
    Account.objects.update(plan_since=timezone.now() - timedelta(days=1))
    old = Account.objects.get(pk=account.pk)
    for plan in (Plan.STANDARD, Plan.ENTERPRISE):
        account.plan = plan
        account.save()

    old.name = "Renamed"
    old.save()

    since = Account.objects.values_list("plan_since", flat=True).get()
    assert (since, old.plan_since) == (account.plan_since, account.plan_since)


def test_a_name_that_was_left_alone_is_kept(account: Account) -> None:
    old = Account.objects.get(pk=account.pk)
    account.name = "Renamed"
    account.save()

    old.plan = Plan.STANDARD
    old.save()

    assert stored(account) == ("Renamed", "standard")


def test_the_plan_that_another_set_already_is_no_new_plan(account: Account) -> None:
    old = Account.objects.get(pk=account.pk)
    account.plan = Plan.STANDARD
    account.save()

    old.plan = Plan.STANDARD
    old.save()

    assert old.plan_since == account.plan_since


def test_an_object_is_saved_again_and_again(account: Account) -> None:
    for name, plan in (("A", Plan.STANDARD), ("B", Plan.ENTERPRISE), ("A", Plan.ENTERPRISE)):
        account.name, account.plan = name, plan
        account.save()

        assert stored(account) == (name, plan)


@pytest.mark.parametrize("fields", [("pk",), ("pk", "name"), ("pk", "plan")])
def test_settings_that_were_not_read_are_written_where_they_are_set(
    account: Account, fields: tuple[str, ...]
) -> None:
    part = Account.objects.only(*fields).get(pk=account.pk)

    part.plan = Plan.STANDARD
    part.save()

    assert stored(account) == ("Acme", "standard")


def test_a_part_that_is_read_again_forgets_no_other_change(account: Account) -> None:
    account.name = "Renamed"
    account.refresh_from_db(fields=["plan"])
    account.save()

    assert stored(account) == ("Renamed", "enterprise")


def test_nothing_changed_writes_nothing(account: Account) -> None:
    with CaptureQueriesContext(connection) as queries:
        account.save()

    assert [each["sql"] for each in queries if each["sql"].startswith("UPDATE")] == []


def test_a_deleted_account_is_told_of_also_where_nothing_changed(account: Account) -> None:
    old = Account.objects.get(pk=account.pk)
    account.delete()

    with pytest.raises(Http404):
        old.save()
