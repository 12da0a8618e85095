"""Saving a person or an API token that was deleted in the meantime."""

import pytest
from django.db import models
from django.http import Http404

from metaaccess.models import Account, ApiToken, User


@pytest.fixture
def token(administrator: User) -> ApiToken:
    row: ApiToken
    row, _ = ApiToken.objects.create(administrator, name="program")
    return row


def test_saving_a_deleted_user_does_not_insert_it_again(administrator: User) -> None:
    User.objects.get(pk=administrator.pk).delete()

    with pytest.raises(Http404, match="The user was deleted meanwhile"):
        administrator.save()

    assert not User._base_manager.exists()


def test_saving_a_user_of_a_deleted_account_does_not_insert_it_again(
    administrator: User, account: Account
) -> None:
    account.delete()

    with pytest.raises(Http404, match="The user was deleted meanwhile"):
        administrator.save()

    assert not User._base_manager.exists()


@pytest.mark.parametrize("revoke_by", ["token", "user"])
def test_saving_a_revoked_token_does_not_insert_it_again(token: ApiToken, revoke_by: str) -> None:
    revoked: models.Model = token if revoke_by == "token" else token.user
    type(revoked)._base_manager.filter(pk=revoked.pk).delete()

    with pytest.raises(Http404, match="The API token was deleted meanwhile"):
        token.save()

    assert not ApiToken._base_manager.exists()


def test_saving_a_field_of_a_deleted_user_is_refused(administrator: User) -> None:
    """Django's sign-in saves `last_login` like this."""
    User.objects.filter(pk=administrator.pk).delete()

    with pytest.raises(Http404):
        administrator.save(update_fields=["last_login"])


def test_saving_a_user_stores_the_address_in_lower_case(administrator: User) -> None:
    administrator.email = "Ada.L@Acme.example"

    administrator.save()

    assert User.objects.get().email == "ada.l@acme.example"
