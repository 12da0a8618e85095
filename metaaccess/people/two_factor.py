"""Two-factor sign-in: an authenticator app, and recovery codes in case the app is lost.

django-otp stores both, accepts each code once, and slows down guessing.
"""

from datetime import datetime
from typing import Any

import django_otp
import segno
from django.db import transaction
from django.db.models import QuerySet
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from metaaccess.actions import Action
from metaaccess.people.user import User
from metaaccess.signals import announce

RECOVERY_CODES = 10
APP, RECOVERY = "a code from the app", "a recovery code"


def devices() -> QuerySet[Any]:
    """The confirmed apps: one for each user who turned two-factor sign-in on."""
    found: QuerySet[Any] = TOTPDevice.objects.filter(confirmed=True)
    return found


def is_on(user: User) -> bool:
    return devices().filter(user=user).exists()


def on_since(user: User) -> datetime | None:
    """When two-factor sign-in was turned on. None: it is off."""
    return devices().filter(user=user).values_list("created_at", flat=True).first()


def codes_left(user: User) -> int:
    return int(StaticToken.objects.filter(device__user=user).count())


def codes_made(user: User) -> int | None:
    """The ID of the current set of recovery codes. None: there is none."""
    pk: int | None = StaticDevice.objects.filter(user=user).values_list("pk", flat=True).first()
    return pk


def begin(user: User) -> TOTPDevice:
    """Creates the secret for the user's app. It takes effect only with `confirm`."""
    TOTPDevice.objects.filter(user=user, confirmed=False).delete()
    return TOTPDevice.objects.create(user=user, name="app", confirmed=False)


def begun(user: User) -> TOTPDevice | None:
    """The app that `begin` created and `confirm` has not confirmed yet. None: there is none."""
    device: TOTPDevice | None = TOTPDevice.objects.filter(user=user, confirmed=False).first()
    return device


@transaction.atomic
def confirm(user: User, code: str) -> list[str] | None:
    """Turns two-factor sign-in on, and returns the recovery codes.

    None: the code is wrong, or there is no app to confirm.
    """
    device = TOTPDevice.objects.select_for_update().filter(user=user, confirmed=False).first()
    if device is None or not device.verify_token(code):
        return None
    devices().filter(user=user).delete()
    device.confirmed = True
    device.save()
    codes = _new_codes(user)
    announce(user, user.account, Action.TWO_FACTOR_ON, user.email)
    return codes


@transaction.atomic
def renew_codes(user: User) -> list[str]:
    """Replaces the recovery codes. The old ones stop working."""
    codes = _new_codes(user)
    announce(user, user.account, Action.RECOVERY_CODES_MADE, user.email)
    return codes


@transaction.atomic
def turn_off(user: User, action: Action = Action.TWO_FACTOR_OFF) -> bool:
    """Turns two-factor sign-in off. Returns False if it was not on.

    `action`: TWO_FACTOR_TAKEN_OFF if another person does it.
    """
    was_on = is_on(user)
    TOTPDevice.objects.filter(user=user).delete()
    StaticDevice.objects.filter(user=user).delete()
    if was_on:
        announce(user, user.account, action, user.email)
    return was_on


def verify(user: User, code: str) -> str | None:
    """Uses up a code. Returns its kind, APP or RECOVERY, or None if the code is wrong."""
    written = "".join(code.split()).replace("-", "").lower()
    device = django_otp.match_token(user, written)
    if device is None:
        return None
    return RECOVERY if isinstance(device, StaticDevice) else APP


def qr_code(device: TOTPDevice) -> str:
    """The QR code for the app to scan, as a data URI."""
    picture: str = segno.make(device.config_url, error="m").svg_data_uri(scale=5, border=2)
    return picture


def _new_codes(user: User) -> list[str]:
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name="recovery codes")
    codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=code) for code in codes)
    return codes
