"""The story in four chapters. Each runs a few commands and shows their effect."""

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.rule import Rule

from eventlog.models import WebhookLog
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device
from webhooks.health import reasons
from webhooks.models import WebhookConfig
from webhooks.operating.local_receiver import Behaviour, LocalReceiver

ROOT = Path(__file__).resolve().parent.parent.parent
COUNTDOWNS = os.environ["WEBHOOK_RETRY_COUNTDOWNS"]
PATIENCE_S = 90.0
# account_create prints these once. The demo does not need them, so it hides them.
SECRET = re.compile(r'("api_token": "|"password": ")[^"]+')
HIDDEN = r"\1…"
API_KEY = "demo-key-6f1a9c2e"
DEVICES = settings.WEBHOOK_DISABLE_AFTER

console = Console(highlight=False)


class DemoError(Exception):
    """An expected event did not happen."""


def say(text: str = "") -> None:
    console.print(text)


def chapter(title: str) -> None:
    say()
    console.print(Rule(f"[bold cyan]{title}", align="left", style="cyan"))


def until(what: str, happened: Callable[[], Any]) -> Any:
    """Waits until `happened` returns a true value, and returns it.

    Raises DemoError with `what` if that takes longer than `PATIENCE_S`.
    """
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if result := happened():
            return result
        time.sleep(0.02)
    raise DemoError(f"timed out after {PATIENCE_S:g} s waiting for {what}")


def manage(*words: str) -> Any:
    """Runs a management command and shows it as a person would type it.

    Returns the JSON object that it prints, or else its output as text.
    """
    shown = " ".join(f'"{word}"' if " " in word else word for word in words)
    say(f"[dim]$[/] [bold]manage.py {escape(shown)}[/]")
    out = io.StringIO()
    call_command(*words, stdout=out)
    text = out.getvalue().strip()
    say(f"[dim]{escape(SECRET.sub(HIDDEN, text))}[/]")
    return json.loads(text) if text.startswith("{") else text


@contextmanager
def process(*command: str) -> Iterator[None]:
    """Runs `python -m COMMAND` for the length of the block; its output goes to a log file."""
    log = Path(os.environ["VAR_DIR"]) / f"{command[3]}.log"
    with log.open("wb") as output:
        running = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, stdout=output, stderr=output
        )
        try:
            yield
        finally:
            running.terminate()
            try:
                running.wait(timeout=20)
            except subprocess.TimeoutExpired:
                running.kill()


def story(receiver: LocalReceiver) -> None:
    chapter("1  A laptop becomes non-compliant, and the callback API is notified")
    email = "ada@acme.example"
    manage("account_create", "Acme", "--plan", "enterprise", "--admin-email", email)
    webhook_id = manage(
        "webhook_create", "--account", "Acme", "--url", receiver.url, "--api-key", API_KEY
    )["id"]
    device_id = manage("device_add", "--account", "Acme", "--name", "Ada's laptop")["device_id"]
    until("the push of `installed`", lambda: len(receiver.received) == 1)
    changed = time.time()
    manage("device_set", device_id, "non_compliant")
    until("the push of `non_compliant`", lambda: len(receiver.received) == 2)
    push = receiver.received[-1]
    say(f"\nThe receiver got this push [green]{(push.time - changed) * 1000:.0f} ms[/] later:")
    headers = "\n".join(
        f"[cyan]{name}[/]: {escape(value)}"
        for name, value in push.headers.items()
        if name not in ("Host", "Accept-Encoding")
    )
    text = f"[bold]POST {push.path}[/]\n{headers}\n\n[green]{escape(push.body.decode())}[/]"
    console.print(Panel(text, expand=False))

    chapter("2  The receiver fails: the push fails after three attempts")
    receiver.behaviour.status = 503
    say(
        "From now on the receiver answers 503. Retries wait "
        f"{COUNTDOWNS.replace(',', ' and ')} s in this demo (by default 4 and 60 s)."
    )
    manage("device_set", device_id, "compliant")
    until("three attempts", lambda: len(receiver.received) == 5)
    first = receiver.received[2]
    for number, attempt in enumerate(receiver.received[2:], start=1):
        say(
            f"  attempt {number} at [yellow]+{attempt.time - first.time:.1f} s[/]: HTTP 503, "
            f"Webhook-Id {attempt.push_id[:8]}…"
        )
    get = WebhookConfig.objects.get
    until("a failure count of 1", lambda: get(pk=webhook_id).consecutive_failures == 1)
    say("  The webhook now has [yellow]1[/] failed push in a row.")

    chapter(f"3  After {DEVICES} failed pushes in a row, the webhook is disabled and holds events")
    say(f"{DEVICES - 1} more devices are added while the receiver still answers 503 …")
    account = Account.objects.get(name="Acme")
    Device.objects.bulk_create(
        Device(account=account, name=f"laptop-{n}") for n in range(DEVICES - 1)
    )
    until("the webhook to be disabled", lambda: not get(pk=webhook_id).enabled)
    webhook = get(pk=webhook_id)
    say(f"  [red]Disabled[/] at {webhook.consecutive_failures}: {escape(reasons.in_utc(webhook))}")
    Device.objects.change([NewStatus(device_id, "non_compliant")])
    say("Ada's laptop is non-compliant again. The event is held, not pushed:")
    manage("webhook_list")

    chapter("4  The receiver is fixed, and an administrator enables the webhook again")
    receiver.behaviour.status = 200
    seen = len(receiver.received)
    manage("webhook_enable", str(webhook_id), "--reason", "the receiver is fixed")
    until("the held event", lambda: len(receiver.received) > seen)
    say(f"The receiver got [green]{escape(receiver.received[-1].body.decode())}[/]")
    until("the event log", lambda: WebhookLog.objects.count() == len(receiver.received))
    attempts = WebhookLog.objects.count()
    delivered = WebhookLog.objects.filter(outcome="delivered").count()
    say(
        f"\nThe event log contains all [bold]{attempts}[/] attempts: {delivered} delivered, "
        f"{attempts - delivered} failed. No event was lost."
    )


def main() -> int:
    started = time.monotonic()
    os.environ["COLUMNS"] = str(console.width)
    console.print(Panel("[bold]MetaAccess Webhooks[/]: a demo in four chapters", expand=False))
    with ExitStack() as cleanup:
        say("[dim]Starting a worker and a receiver, on a private PostgreSQL and Redis …[/]")
        receiver = cleanup.enter_context(LocalReceiver(0, Behaviour(api_key=API_KEY)))
        celery = ("celery", "-A", "settings")
        cleanup.enter_context(
            process(*celery, "worker", "--pool", "gevent", "--concurrency", "100")
        )
        cleanup.enter_context(process(*celery, "beat"))
        try:
            story(receiver)
        except DemoError as error:
            console.print(f"[red]{escape(str(error))}")
            return 1
    say(f"[dim]Done in {time.monotonic() - started:.0f} s. `make run` starts the whole product.[/]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
