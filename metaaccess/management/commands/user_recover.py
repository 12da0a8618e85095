from typing import Any

from django.core.management.base import CommandError, CommandParser

from metaaccess.actions import Action
from metaaccess.commands import Command as BaseCommand
from metaaccess.people import sign_in, two_factor
from metaaccess.people.user import User


class Command(BaseCommand):
    help = (
        "Lets a user sign in again after a lockout, or after losing the phone and the recovery "
        "codes. For users whom no other administrator can help in the console."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="the user's e-mail address")
        parser.add_argument(
            "--lockout", action="store_true", help="lift the lockout after failed sign-ins"
        )
        parser.add_argument("--two-factor", action="store_true", help="turn two-factor sign-in off")

    def handle(self, *, email: str, lockout: bool, two_factor: bool, **options: Any) -> None:
        if not (lockout or two_factor):
            raise CommandError("choose --lockout, --two-factor, or both")
        user = User.objects.filter(email=email.lower()).first()
        if user is None:
            raise CommandError(f"no user has the e-mail address {email!r}")
        if lockout:
            lifted = sign_in.lift(user)
            self.stdout.write("Lockout lifted." if lifted else "The user was not locked out.")
        if two_factor:
            self._turn_off(user)

    def _turn_off(self, user: User) -> None:
        was_on = two_factor.turn_off(user, Action.TWO_FACTOR_TAKEN_OFF)
        self.stdout.write(
            "Two-factor sign-in turned off." if was_on else "Two-factor sign-in was not on."
        )
