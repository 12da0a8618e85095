"""What a request that is sent again with its `Idempotency-Key` gets back."""

from metaaccess.models import Account, Device, User
from tests.api.conftest import Program, problem
from webhooks.models import WebhookConfig

WEBHOOK = {"url": "https://receiver.example/", "api_key": "k" * 20}


def test_a_person_who_was_moved_reads_no_answer_of_the_account_before(
    ada: Program, administrator: User, other_account: Account
) -> None:
    ada.post("devices", {"name": "of Acme"}, Idempotency_Key="k")
    User.objects.filter(pk=administrator.pk).update(account=other_account)

    answer = ada.post("devices", {"name": "of Acme"}, Idempotency_Key="k")

    assert problem(answer) == (422, "idempotency-key-reused")
    assert Device.objects.get().device_id not in answer.content.decode()


def test_it_has_the_headers_of_the_first_answer(ada: Program, account: Account) -> None:
    first = ada.post("webhooks", WEBHOOK, Idempotency_Key="k")
    ada.patch(f"webhooks/{first.json()['id']}", {"name": "changed since"})

    again = ada.post("webhooks", WEBHOOK, Idempotency_Key="k")

    assert (again.status_code, again.json()) == (201, first.json())
    assert (again["ETag"], again["Idempotent-Replayed"]) == (first["ETag"], "true")
    assert WebhookConfig.objects.count() == 1


def test_its_version_is_that_of_the_first_answer(ada: Program, account: Account) -> None:
    webhook = ada.post("webhooks", WEBHOOK, Idempotency_Key="k").json()["id"]
    ada.patch(f"webhooks/{webhook}", {"name": "changed since"})
    version = ada.post("webhooks", WEBHOOK, Idempotency_Key="k")["ETag"]

    answer = ada.patch(f"webhooks/{webhook}", {"name": "over it"}, If_Match=version)

    assert problem(answer) == (412, "changed-meanwhile")
