"""WEBHOOK_API_KEY=… WEBHOOK_SECRET=whsec_… flask --app flask_receiver run"""

import hmac
import json
import os
import queue
import threading
from collections import deque

from flask import Flask, Response, request
from standardwebhooks import Webhook, WebhookVerificationError

API_KEY = os.environ["WEBHOOK_API_KEY"].encode()
SECRET = os.environ.get("WEBHOOK_SECRET")

app = Flask(__name__)
work = queue.Queue()


@app.post("/")
def receive():
    given = request.headers.get("Authorization", "").encode()
    if not hmac.compare_digest(given, API_KEY):
        return Response(status=401)
    body = request.get_data()
    if SECRET:
        try:  # also rejects timestamps that are more than five minutes off
            Webhook(SECRET).verify(body, dict(request.headers))
        except WebhookVerificationError:
            return Response(status=401)
    work.put((request.headers["Webhook-Id"], json.loads(body)))  # process it later …
    return Response(status=204)  # … and respond immediately


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


threading.Thread(target=take, daemon=True).start()

if __name__ == "__main__":
    app.run("127.0.0.1", int(os.environ["PORT"]))
