"""The first steps of an account, up to its first delivered push: which are done, which is next."""

from enum import StrEnum
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from eventlog.models import Ending, Outcome, PushKind, Tally, WebhookLog
from metaaccess.models import Account, Device, Role, User
from metaaccess.people.request import person
from webhooks.configuration.validators import validate_callback_url
from webhooks.models import WebhookConfig

PORT = 9000
RECEIVER_URL = f"http://127.0.0.1:{PORT}/"
API_KEY = "choose-a-key"
COMMAND = f".venv/bin/python manage.py webhook_receiver --port {PORT} --api-key {API_KEY}"
_ADMINISTRATORS = 3


class Progress(StrEnum):
    DONE = "done"
    NOW = "now"
    LATER = "later"


class Steps(NamedTuple):
    """The account's progress in the four steps: `receiver`, `webhook`, `test` and `change`.

    `administrators` is empty for users who may do the steps themselves. `device` is None before the
    last step. `local` is true if a receiver on this machine is a valid callback URL.
    """

    account: Account
    may_change: bool
    administrators: list[str]
    receiver: Progress
    webhook: Progress
    test: Progress
    change: Progress
    first_webhook: WebhookConfig | None
    add_url: str
    device: Device | None
    local: bool
    command: str = COMMAND
    receiver_url: str = RECEIVER_URL


def steps(request: HttpRequest) -> Steps | None:
    """None for operators and for accounts that have received a push."""
    user = person(request)
    account = user.account
    if account is None or Tally.objects.filter(account=account, ending=Ending.DELIVERED).exists():
        return None
    webhook = WebhookConfig.objects.filter(account=account).first()
    if webhook and not account.has_webhooks:
        return None
    tested = webhook is not None and _tested(account)
    local = _takes_local_receivers()
    add = reverse("admin:webhooks_webhookconfig_add")
    filled_in = {"name": "My receiver", "url": RECEIVER_URL}
    may_change = user.has_perm("webhooks.add_webhookconfig")
    return Steps(
        account,
        may_change=may_change,
        administrators=[] if may_change else _administrators(account),
        # Whether a receiver runs is unknown before the first push.
        receiver=_progress(done=webhook is not None, next_=True),
        webhook=_progress(done=webhook is not None, next_=True),
        test=_progress(done=tested, next_=webhook is not None),
        change=_progress(done=False, next_=tested),
        first_webhook=webhook,
        add_url=f"{add}?{urlencode(filled_in)}" if local else add,
        device=Device.objects.filter(account=account).first() if tested else None,
        local=local,
    )


def _progress(*, done: bool, next_: bool) -> Progress:
    return Progress.DONE if done else Progress.NOW if next_ else Progress.LATER


def _tested(account: Account) -> bool:
    tests = WebhookLog.objects.filter(account=account, kind=PushKind.TEST)
    return tests.filter(outcome=Outcome.DELIVERED).exists()


def _takes_local_receivers() -> bool:
    """Whether the settings allow a callback URL on this machine."""
    try:
        validate_callback_url(RECEIVER_URL)
    except ValidationError:
        return False
    return True


def _administrators(account: Account) -> list[str]:
    people = User.objects.filter(account=account, role=Role.ADMINISTRATOR, is_active=True)
    return list(people.order_by("email").values_list("email", flat=True)[:_ADMINISTRATORS])
