"""Takes the screenshots: an account with a history, the product on a free port, and Chromium."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from devstack.servers.ports import free_port
from devstack.tools import chromium
from metaaccess.models import Account, Plan, Role, User
from tests.browser.pages import WIDE, use_theme
from tests.browser.world import World, build
from tests.pipeline.workers import until
from webhooks.models import WebhookConfig
from webhooks.operating.local_receiver import LocalReceiver

ROOT = Path(__file__).resolve().parent.parent.parent.parent
FOLDER = ROOT / "docs" / "screenshots"
MOST_BYTES = 120_000
COLOURS = 128
PASSWORD = "only-for-the-screenshots"
WEBHOOKS = "/console/webhooks/webhookconfig/"
EVENT_LOG = "/console/eventlog/webhooklog/"


class Photographer:
    """One user's browser, which saves pictures to FOLDER."""

    def __init__(self, browser: Browser, address: str, email: str) -> None:
        context = browser.new_context(
            viewport=WIDE, reduced_motion="reduce", timezone_id="Europe/Berlin"
        )
        self.page: Page = context.new_page()
        self.address = address
        self.open("/console/login/")
        self.page.get_by_label("Email").fill(email)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url("**/console/")

    def open(self, path: str) -> Page:
        self.page.goto(self.address + path)
        self.page.wait_for_selector("html:not([x-cloak])")
        return self.page

    def use(self, theme: str) -> None:
        use_theme(self.page, theme)

    def take(self, name: str) -> None:
        path = FOLDER / f"{name}.png"
        self.page.mouse.move(0, 0)
        self.page.evaluate("document.fonts.ready")
        picture = Image.open(BytesIO(self.page.screenshot())).convert("RGB")
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
        size = path.stat().st_size
        sys.stdout.write(f"{path.relative_to(ROOT)}  {size // 1000} kB\n")
        if size > MOST_BYTES:
            sys.exit(f"{path.name} has {size} bytes, but at most {MOST_BYTES} are allowed")


def pictures(ada: Photographer, new: Photographer, world: World, receiver: LocalReceiver) -> None:
    ada.open("/console/")
    ada.take("dashboard")
    ada.open(WEBHOOKS)
    ada.take("webhooks")
    ada.open(f"{WEBHOOKS}{world.failing.pk}/health/")
    ada.take("health")
    ada.open(EVENT_LOG)
    ada.take("event-log")
    failed = ada.open(f"{EVENT_LOG}?outcome=failed").get_by_role("row").nth(1)
    failed.get_by_role("link").first.click()
    ada.page.wait_for_url("**/change/**")
    ada.take("attempt")
    WebhookConfig.objects.filter(pk=world.active.pk).update(url=receiver.url)
    ada.open(f"{WEBHOOKS}{world.active.pk}/change/")
    ada.page.get_by_role("button", name="Send test push").click()
    ada.page.get_by_text("The receiver accepted the test push.").wait_for()
    ada.take("test-push")
    ada.open(f"{WEBHOOKS}{world.disabled.pk}/health/")
    ada.use("dark")
    ada.take("disabled-dark")
    new.open(WEBHOOKS)
    new.take("first-steps")


def people() -> World:
    account = Account.objects.create(name="Acme", plan=Plan.ENTERPRISE)
    ada = person("ada@acme.example", account)
    world = build(account, ada, days=7)
    person("grace@newcomer.example", Account.objects.create(name="Newcomer", plan=Plan.ENTERPRISE))
    return world


def person(email: str, account: Account) -> User:
    return User.objects.create_user(email, PASSWORD, account=account, role=Role.ADMINISTRATOR)


@contextmanager
def process(*command: str) -> Iterator[None]:
    log = Path(os.environ["VAR_DIR"]) / f"{command[0]}.log"
    with log.open("wb") as output:
        running = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, stdout=output, stderr=output
        )
        try:
            yield
        finally:
            running.terminate()
            running.wait(timeout=40)


def answers(address: str) -> bool:
    try:
        with urlopen(f"{address}/healthz", timeout=2):
            return True
    except (URLError, OSError):
        return False


def main() -> None:
    address = f"http://localhost:{free_port()}"
    os.environ["PUBLIC_URL"] = address
    FOLDER.mkdir(parents=True, exist_ok=True)
    world = people()
    with ExitStack() as open_things:
        receiver = open_things.enter_context(LocalReceiver())
        bind = address.removeprefix("http://")
        open_things.enter_context(
            process(
                "gunicorn", "settings.wsgi", "--bind", bind, "--threads=4", "--no-control-socket"
            )
        )
        open_things.enter_context(process("celery", "-A", "settings", "worker", "--pool", "gevent"))
        until("the console answers", lambda: answers(address))
        playwright = open_things.enter_context(sync_playwright())
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
        browser = playwright.chromium.launch(
            executable_path=chromium.ensure(), args=chromium.ARGUMENTS
        )
        ada = Photographer(browser, address, "ada@acme.example")
        new = Photographer(browser, address, "grace@newcomer.example")
        pictures(ada, new, world, receiver)
        browser.close()


if __name__ == "__main__":
    main()
