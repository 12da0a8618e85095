from typing import Any

from django.core.management.base import CommandError, CommandParser

from metaaccess.actions import Action
from metaaccess.commands import Command as BaseCommand
from metaaccess.models import User
from metaaccess.people import sign_in, two_factor


class Command(BaseCommand):
    help = (
        "Lets a user sign in again who is locked out, or who has lost phone and recovery codes, "
        "where no other administrator can do it in the console."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="the user's e-mail address")
        parser.add_argument(
            "--lockout", action="store_true", help="lift the lockout after failed sign-ins"
        )
        parser.add_argument("--two-factor", action="store_true", help="turn two-factor sign-in off")

    def handle(self, *, email: str, lockout: bool, two_factor: bool, **options: Any) -> None:
        if not (lockout or two_factor):
            raise CommandError("say what to do: --lockout, --two-factor, or both")
        user = User.objects.filter(email=email.lower()).first()
        if user is None:
            raise CommandError(f"no user has the e-mail address {email!r}")
        if lockout:
            lifted = sign_in.lift(user)
            self.stdout.write("The lockout is lifted." if lifted else "There was no lockout.")
        if two_factor:
            self._turn_off(user)

    def _turn_off(self, user: User) -> None:
        was_on = two_factor.turn_off(user, Action.TWO_FACTOR_TAKEN_OFF)
        self.stdout.write(
            "Two-factor sign-in is off." if was_on else "Two-factor sign-in was not on."
        )
