"""The plain design, for comparison: one Celery task per event, which writes rows one by one."""

import os
import time
from uuid import uuid4

import requests
from celery import Celery
from django.utils import timezone

from bench.setting import empty, until
from eventlog.models import WebhookLog
from metaaccess.models import Account, Device, Plan
from webhooks.configuration.change import save_settings
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery
from webhooks.queue.states import State
from webhooks.sending import payload

app = Celery("plain", broker=os.environ["REDIS_URL"], set_as_current=False)
app.conf.update(
    task_ignore_result=True, task_default_queue="plain", worker_hijack_root_logger=False
)


@app.task
def push_one(delivery_id: int) -> None:
    delivery = Delivery.objects.select_related("webhook").get(pk=delivery_id)
    webhook = delivery.webhook
    delivery.state = State.SENDING
    delivery.push_id = uuid4()
    delivery.save()
    body = payload.build([delivery])
    headers = {"Content-Type": "application/json", "Authorization": webhook.api_key}
    began = time.monotonic()
    answer = requests.post(webhook.url, data=body, headers=headers, timeout=10)
    delivery.state = State.DELIVERED if answer.ok else State.FAILED
    delivery.attempts = 1
    delivery.save()
    WebhookLog.objects.create(
        account_id=webhook.account_id,
        time=timezone.now(),
        webhook_id=webhook.pk,
        url=webhook.url,
        push_id=delivery.push_id,
        attempt=1,
        outcome="delivered",
        status_code=answer.status_code,
        duration_ms=int((time.monotonic() - began) * 1000),
        event_count=1,
        device_ids=[delivery.device_id],
        request_body=body.decode(),
        response_body=answer.text,
    )


def drain(url: str, events: int) -> float:
    """Returns events per second, from the first publish to the last row."""
    empty()
    account = Account.objects.create(name="plain", plan=Plan.ENTERPRISE)
    webhook = WebhookConfig(account=account, url=url)
    webhook.api_key = "bench-key-0123456789"
    save_settings(webhook)
    recovery.disable([webhook.pk], "the product's workers must not push these events")
    Device.objects.bulk_create(Device(account=account) for _ in range(events))
    ids = list(Delivery.objects.values_list("pk", flat=True))
    began = time.monotonic()
    for delivery_id in ids:
        push_one.delay(delivery_id)
    until(lambda: WebhookLog.objects.count() == events, 300)
    return events / (time.monotonic() - began)
