"""WEBHOOK_API_KEY=… WEBHOOK_SECRET=whsec_… PORT=9000 python django_receiver.py

Copy the view into your project. The rest makes this file a complete project.
"""

import hmac
import json
import os
import queue
import sys
import threading
from collections import deque

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from standardwebhooks import Webhook, WebhookVerificationError

API_KEY = os.environ["WEBHOOK_API_KEY"].encode()
SECRET = os.environ.get("WEBHOOK_SECRET")
work = queue.Queue()  # in production: a task queue such as Celery


@csrf_exempt  # the caller is not a browser; the API key authenticates it
@require_POST
def receive(request):
    given = request.headers.get("Authorization", "").encode()
    if not hmac.compare_digest(given, API_KEY):
        return HttpResponse(status=401)
    if SECRET:
        try:  # also rejects timestamps that are more than five minutes off
            Webhook(SECRET).verify(request.body, dict(request.headers))
        except WebhookVerificationError:
            return HttpResponse(status=401)
    work.put((request.headers["Webhook-Id"], json.loads(request.body)))  # process it later …
    return HttpResponse(status=204)  # … and respond immediately


def take():
    seen = deque(maxlen=10_000)  # in production: a table with a unique column
    newest = {}  # in production: a column next to the device's status
    while True:
        push_id, events = work.get()
        if push_id in seen:
            continue  # a repeat
        seen.append(push_id)
        for event in events:
            device_id, timestamp = event["device_id"], event["timestamp"]
            if timestamp <= newest.get(device_id, 0):
                continue  # a newer event has arrived already
            newest[device_id] = timestamp
            print(f"{device_id} is {event['status']} since {timestamp}", flush=True)


urlpatterns = [path("", receive)]

if __name__ == "__main__":
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], MIDDLEWARE=[])
    threading.Thread(target=take, daemon=True).start()
    address = f"127.0.0.1:{os.environ['PORT']}"
    execute_from_command_line([sys.argv[0], "runserver", "--noreload", "--skip-checks", address])
