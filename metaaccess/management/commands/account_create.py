import secrets
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from metaaccess.accounts.account import Account, Plan
from metaaccess.actions import Action
from metaaccess.commands import Command as BaseCommand
from metaaccess.people.api_token import ApiToken, Scope
from metaaccess.people.user import Role, User
from metaaccess.signals import announce


class Command(BaseCommand):
    help = (
        "Creates an account and its administrator. Prints JSON: account_id, admin_email, api_token "
        "(shown only once), and the password if you gave none."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the account's name")
        parser.add_argument(
            "--plan",
            choices=Plan.values,
            default=Plan.STANDARD,
            help="webhooks exist only on the enterprise plan (default: standard)",
        )
        parser.add_argument(
            "--admin-email",
            required=True,
            help="the administrator's e-mail address",
        )
        parser.add_argument("--password", help="generated and printed if you leave it out")

    @transaction.atomic
    def handle(
        self, *, name: str, plan: str, admin_email: str, password: str | None, **options: Any
    ) -> None:
        account = Account(name=name, plan=plan)
        account.full_clean()
        account.save()
        user = User(email=admin_email, account=account, role=Role.ADMINISTRATOR)
        user.full_clean(exclude=["password"])
        if password is not None:
            self._check(password, user)
        chosen = password or secrets.token_urlsafe(12)
        user.set_password(chosen)
        user.save()
        _, token = ApiToken.objects.create(
            user, expiry=None, name="account_create", scope=Scope.ADMIN
        )
        detail = f"{plan} plan, administrator {user.email}"
        announce(account, account, Action.ACCOUNT_CREATED, account.name, detail)
        printed = {"account_id": account.pk, "admin_email": user.email, "api_token": token}
        self.print_json(printed if password else printed | {"password": chosen})

    def _check(self, password: str, user: User) -> None:
        """Warns about a weak password, but accepts it: operators run this command."""
        if not password:
            raise CommandError("--password is empty: leave it out to generate one")
        try:
            validate_password(password, user)
        except ValidationError as weak:
            self.stderr.write(f"This password is weak: {' '.join(weak.messages)}")
