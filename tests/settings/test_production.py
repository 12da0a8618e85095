"""The settings of an installation behind a proxy that terminates TLS, and its container image."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent
NOWHERE = "127.0.0.1:1"
PRODUCTION = {
    "SECRET_KEY": "a-secret-key-of-fifty-characters-and-more-0123456789",
    "WEBHOOK_KEYS": "a-webhook-key-of-32-characters-01",
    "PUBLIC_URL": "https://console.example",
    "ALLOWED_HOSTS": "console.example",
    "DATABASE_URL": f"postgres://metaaccess@{NOWHERE}/metaaccess",
    "REDIS_URL": f"redis://{NOWHERE}/0",
    "EMAIL_URL": f"smtp://{NOWHERE}",
}
ASK = """
import json, logging, django
logging.disable()
django.setup()
from django.test import Client
from metaaccess.people.authentication import TokenAuthentication
TokenAuthentication.authenticate = lambda *_: 1 / 0  # an unexpected error
client = Client(raise_request_exception=False)
https = {"host": "console.example", "x-forwarded-proto": "https"}
answers = {
    "plain": client.get("/console/", headers={"host": "console.example"}),
    "probe": client.get("/healthz", headers={"host": "console.example"}),
    "tls": client.get("/healthz", headers=https),
    "missing": client.get("/no-such-page", headers=https),
    "broken": client.get("/api/v1/devices", headers=https),
    "other host": client.get("/console/", headers=https | {"host": "evil.example"}),
    **{
        f"probe by {host!r}": client.get("/healthz", headers={"host": host})
        for host in ("10.0.0.5:8000", "evil.example", "", "no host", "[::1", "a" * 300)
    },
}
print(json.dumps({
    name: [a.status_code, dict(a.headers), a.content.decode()] for name, a in answers.items()
}))
"""


def run(*arguments: str, root: Path = ROOT, **environment: str) -> str:
    """Runs Python with only these variables in its environment; returns its output."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env=kept | PRODUCTION | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_djangos_deployment_checks_find_nothing() -> None:
    said = run("manage.py", "check", "--deploy", "--fail-level", "INFO")

    assert said.startswith("System check identified no issues")


@pytest.fixture(scope="module")
def answers() -> dict[str, tuple[int, dict[str, str], str]]:
    """Status, headers and body of each response, without a database."""
    said = run("-c", ASK, DJANGO_SETTINGS_MODULE="settings.base")
    found: dict[str, tuple[int, dict[str, str], str]] = json.loads(said.splitlines()[-1])
    return found


def test_http_redirects_to_https_except_for_internal_probes(answers: dict) -> None:  # type: ignore[type-arg]
    status, headers, _ = answers["plain"]

    assert (status, headers["Location"]) == (301, "https://console.example/console/")
    assert (answers["probe"][0], answers["probe"][2]) == (200, "ok\n")


def test_a_probe_is_answered_for_any_host(answers: dict) -> None:  # type: ignore[type-arg]
    found = {name: answer for name, answer in answers.items() if name.startswith("probe by")}

    assert len(found) == 6
    for name, (status, headers, text) in found.items():
        assert (name, status, text) == (name, 200, "ok\n")
        assert "Set-Cookie" not in headers
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_hsts_lasts_a_year(answers: dict) -> None:  # type: ignore[type-arg]
    assert "Strict-Transport-Security" not in answers["probe"][1]
    assert answers["tls"][1]["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


def test_every_answer_has_security_headers(answers: dict) -> None:  # type: ignore[type-arg]
    for name in ("tls", "missing", "broken"):
        headers = answers[name][1]
        assert headers["X-Content-Type-Options"] == "nosniff", name
        assert headers["X-Frame-Options"] == "DENY", name
        assert headers["Referrer-Policy"] == "same-origin", name
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], name


def test_an_error_reveals_no_internals(answers: dict) -> None:  # type: ignore[type-arg]
    assert [answers[name][0] for name in ("missing", "broken", "other host")] == [404, 500, 400]
    for name in ("missing", "broken", "other host"):
        text = answers[name][2]
        assert not re.search(r"Traceback|DEBUG|ZeroDivision|lambda|\.py|urlconf", text, re.I), name


# --- The image ---


def test_the_image_does_not_run_as_root() -> None:
    assert re.findall(r"^USER (.*)$", image.DOCKERFILE, re.M) == ["10001:10001"]


@pytest.mark.slow
def test_the_image_contains_everything_that_the_product_needs(tmp_path: Path) -> None:
    image.copy(tmp_path)

    assert not (tmp_path / "devstack").exists()
    for path in tmp_path.iterdir():
        name = "docs/api.md" if path.name == "docs" else path.name
        assert f"!{name}" in (ROOT / ".dockerignore").read_text().splitlines()
    run("manage.py", "collectstatic", "--no-input", "-v", "0", root=tmp_path)
    run("manage.py", "check", "--deploy", "--fail-level", "INFO", root=tmp_path)
    said = run("-c", ASK, root=tmp_path, DJANGO_SETTINGS_MODULE="settings.base")

    assert json.loads(said.splitlines()[-1])["probe"][0] == 200
    assert (tmp_path / "staticfiles" / "console" / "console.css").exists()


def test_the_image_starts_the_procfiles_web_process() -> None:
    command = re.search(r"^CMD (.*)$", image.DOCKERFILE, re.M)
    assert command is not None

    started = " ".join(json.loads(command[1]))

    web = image.procfile()["web"]
    assert started == web.replace("${BIND:-127.0.0.1}:${PORT:-8000}", "0.0.0.0:8000")
