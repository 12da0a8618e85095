"""A wrong value stops the start with one line that names the variable and what it takes."""

import os
import stat
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest

from settings import environment
from settings.environment import env, read, read_positive, read_url, read_whole

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("value", ["", "4,sixty", "4;60", "-1", "nan", "86400"])
def test_wrong_countdowns(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("X", value)

    with pytest.raises(SystemExit, match=f"X is '{value}': it takes seconds before each retry"):
        environment.read_countdowns("X", "4,60")


def test_countdowns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.read_countdowns("X", "4,60") == (4.0, 60.0)
    monkeypatch.setenv("X", "0.5, 1,2")
    assert environment.read_countdowns("X", "4,60") == (0.5, 1.0, 2.0)


@pytest.mark.parametrize("value", ["0", "-1", "ten", "inf", "nan"])
def test_wrong_positive_numbers(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("X", value)

    with pytest.raises(SystemExit, match=f"X is '{value}': it takes seconds"):
        read_positive("X", 10, "seconds")


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "ten"])
def test_wrong_whole_numbers(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("X", value)

    with pytest.raises(SystemExit, match=f"X is '{value}': it takes days"):
        read_whole("X", 7, "days")


def test_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.read_networks("X") == []
    monkeypatch.setenv("X", "10.1.0.0/16, ::1/128")
    assert environment.read_networks("X") == [ip_network("10.1.0.0/16"), ip_network("::1/128")]
    monkeypatch.setenv("X", "10.1.0.1/16")
    with pytest.raises(SystemExit, match=r"X is '10\.1\.0\.1/16': it takes networks"):
        environment.read_networks("X")


def test_a_secret_is_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "hunter2")

    with pytest.raises(SystemExit) as address:
        read_url("X", None, "an address")
    with pytest.raises(SystemExit) as number:
        read(env.int, "X", 1, "a number", secret=True)

    assert "hunter2" not in f"{address.value.code}{number.value.code}"


def test_keys_are_made_once_for_development_readable_by_their_owner(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.delenv("WEBHOOK_KEYS", raising=False)

    first = environment.read_keys(tmp_path / "var", development=True)

    assert first == environment.read_keys(tmp_path / "var", development=True)
    assert stat.S_IMODE(os.stat(tmp_path / "var" / "keys.json").st_mode) == 0o600
    monkeypatch.setenv("WEBHOOK_KEYS", "mine")
    assert environment.read_keys(tmp_path / "var", development=True) == first | {
        "WEBHOOK_KEYS": "mine"
    }


def test_keys_are_required_in_production(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRET_KEY", "given")
    monkeypatch.delenv("WEBHOOK_KEYS", raising=False)

    with pytest.raises(SystemExit, match="WEBHOOK_KEYS is not set"):
        environment.read_keys(tmp_path, development=False)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEBUG", "perhaps"),
        ("DATABASE_URL", "sqlite:///db.sqlite3"),
        ("DATABASE_URL", "postgres"),
        ("REDIS_URL", "localhost"),
        ("REDIS_URL", "http://x"),
        ("CELERY_BROKER_URL", "foo://x"),
        ("WEBHOOK_RETRY_COUNTDOWNS", ",".join(["1"] * 101)),
        ("WEBHOOK_TIMEOUT", "301"),
        ("WEBHOOK_HELD_DAYS", "36501"),
        ("WEBHOOK_TIMEOUT", "soon"),
        ("WEBHOOK_REQUIRE_HTTPS", "2"),
        ("WEBHOOK_DISABLE_AFTER", "0"),
        ("EVENT_LOG_DAYS", "x"),
        ("EMAIL_URL", "carrier-pigeon://"),
    ],
)
def test_the_start_stops_with_one_line(name: str, value: str) -> None:
    given = os.environ | {"SECRET_KEY": "s", "WEBHOOK_KEYS": "k", name: value}

    start = subprocess.run(
        [sys.executable, "-c", "import settings.base"],
        cwd=ROOT,
        env=given,
        capture_output=True,
        text=True,
        check=False,
    )

    assert start.returncode == 1
    assert start.stderr.startswith(f"{name} ")
    assert start.stderr.count("\n") == 1
    assert "it takes" in start.stderr
