"""All settings, as a process reads them at its start: wrong values, and values in files."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LONG = "a-long-random-text-of-more-than-32-characters"
SECRET = "hunter2"
RIGHT = {
    "SECRET_KEY": LONG,
    "WEBHOOK_KEYS": LONG[::-1],
    "DATABASE_URL": f"postgres://metaaccess:{SECRET}@127.0.0.1:1/metaaccess",
    "REDIS_URL": f"redis://:{SECRET}@127.0.0.1:1/0",
    "EMAIL_URL": f"smtp://mail:{SECRET}@127.0.0.1:25",
    "PUBLIC_URL": "https://console.example",
    "ALLOWED_HOSTS": "console.example",
}


@pytest.fixture
def start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, read_settings: Callable[[], dict[str, Any]]
) -> Any:
    """Reads all settings from valid variables, overridden by the given ones; None unsets one."""

    def start(**given: str | None) -> dict[str, Any]:
        for name in list(os.environ):
            if name.isupper() and name not in ("PATH", "HOME"):
                monkeypatch.delenv(name)
        for name, value in (RIGHT | {"VAR_DIR": str(tmp_path / "var")} | given).items():
            if value is not None:
                monkeypatch.setenv(name, value)
        return read_settings()

    return start


WRONG = [
    ("DEBUG", ["perhaps", "", "2"]),
    ("SECRET_KEY", ["x", "short-0123456789", " " * 40, ""]),
    ("WEBHOOK_KEYS", ["x", ",", " , ", f"x,{LONG}", ""]),
    ("ALLOWED_HOSTS", [
        "", " ", ",", "https://console.example", "console.example:8000", "console.example/x",
        "*.example.com", "a b", "[::1", "exämple.com",
    ]),
    ("PUBLIC_URL", [
        "console.example", "ftp://console.example", "https://", "https://:443",
        "https://console.example/path", "https://console.example?a=1", "https://console.example#x",
        "https://user:hunter2@console.example", "https://console.example:99999",
        "https://console.example:x", "https://con sole.example", "https://*.example.com",
        "https://.example.com", "https://console.example?", "https://console.example//",
    ]),
    ("DATABASE_URL", [
        "postgres", "sqlite:///db.sqlite3", "mysql://u@h/n", "postgres://", "postgres://u@h",
        "postgres://u@h/", "postgres:///n", "postgres://u:hunter2@h:99999/n",
        "postgres://u:hunter2@h:x/n", "postgres://u@h:0/n", "postgres://u@h/n?sslmod=require",
        "postgres://u@h/n?sslmode=perhaps", "postgres://u@h/n?target_session_attrs=write",
        "postgres://u@h1:1,h2:99999/n",
    ]),
    ("EMAIL_URL", [
        "carrier-pigeon://", "smtp", "smtp://h:99999", "smtp://h:x", "smtp://h:0",
        "smtp://h?timeout=soon", "smtp://h?timeout=-1", "smtp://h?timeout=0", "smtp://h?tls=maybe",
        "submission://", "smtp://a b", "file://",
    ]),
    ("DEFAULT_FROM_EMAIL", ["", "nobody", "MetaAccess <no-reply>", "a@b c"]),
    ("DATABASE_POOL_SIZE", ["0", "-1", "1.5", "nan", "x", "", "1001"]),
    ("WEBHOOK_RETRY_COUNTDOWNS", ["", "4,", "4;60", "-1", "nan", "inf", "86400"]),
    ("WEBHOOK_DISABLE_AFTER", ["0", "-1", "1e3", "inf", "", "9999999999"]),
    ("WEBHOOK_TIMEOUT", ["0", "-1", "nan", "inf", "-inf", "soon", "", "1e10"]),
    ("WEBHOOK_REQUIRE_HTTPS", ["2", "", "perhaps"]),
    ("WEBHOOK_ALLOWED_NETWORKS", ["10.1.0.1/16", "localhost", "10.0.0.0/33"]),
    ("WEBHOOK_OUTAGE_RECEIVERS", ["-1", "1.5", "nan", ""]),
    ("WEBHOOK_OUTAGE_WITHIN", ["0", "nan", "-inf", ""]),
    ("WEBHOOK_OUTAGE_PERCENT", ["0", "101", "nan", ""]),
    ("WEBHOOK_HELD_DAYS", ["0", "-7", "x", ""]),
    ("EVENT_LOG_DAYS", ["0", "x", "nan", ""]),
    ("API_REQUESTS_PER_MINUTE", ["0", "x", ""]),
    ("TRUSTED_PROXIES", ["-1", "x", "1.5", "101", ""]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, v) for name, vs in WRONG for v in vs])
def test_a_wrong_value_stops_the_start_with_one_line(start: Any, name: str, value: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        start(**{name: value})

    line = str(stopped.value.code)
    assert line.startswith(f"{name} ")
    assert ": expected " in line
    assert "\n" not in line
    assert SECRET not in line
    assert "@" not in line or name == "DEFAULT_FROM_EMAIL" or "user:password@host" in line


@pytest.mark.parametrize(
    ("name", "value", "setting", "read"),
    [
        ("WEBHOOK_TIMEOUT", " 10\n", "WEBHOOK_TIMEOUT_S", 10),
        ("DEBUG", " false ", "DEBUG", False),
        ("ALLOWED_HOSTS", " a.example , .b.example,[::1] ", "ALLOWED_HOSTS",
         ["a.example", ".b.example", "[::1]", "console.example"]),
        ("PUBLIC_URL", "https://Console.example:443/\n", "PUBLIC_URL", "https://console.example"),
        ("PUBLIC_URL", "http://[::1]:8000", "ALLOWED_HOSTS", ["console.example", "[::1]"]),
        ("WEBHOOK_KEYS", f" {LONG} , old ,", "WEBHOOK_KEYS", [LONG, "old"]),
        ("DEFAULT_FROM_EMAIL", "M <m@console.example>", "DEFAULT_FROM_EMAIL",
         "M <m@console.example>"),
        ("TRUSTED_PROXIES", "0", "TRUSTED_PROXIES", 0),
    ],
)  # fmt: skip
def test_valid_values(start: Any, name: str, value: str, setting: str, read: object) -> None:
    assert start(**{name: value})[setting] == read


@pytest.mark.parametrize(
    ("url", "host", "port", "more"),
    [
        ("postgres://u:p%40@h/n", "h", "", {}),
        ("postgresql://u@[::1]:5433/n", "::1", "5433", {}),
        ("postgres://u@%2Frun%2Fpg:5432/n", "/run/pg", "5432", {}),
        ("postgres://u@/n?host=/run/pg", "/run/pg", "", {}),
        ("postgres://u@h1:5432,h2:5433/n?target_session_attrs=read-write", "h1,h2", "5432,5433",
         {"target_session_attrs": "read-write"}),
        ("postgres://u@h/n?connect_timeout=7&sslmode=verify-full", "h", "",
         {"connect_timeout": "7", "sslmode": "verify-full"}),
    ],
)  # fmt: skip
def test_valid_postgresql_urls(
    start: Any, url: str, host: str, port: str, more: dict[str, str]
) -> None:
    database = start(DATABASE_URL=url)["DATABASES"]["default"]

    assert (database["NAME"], database["USER"]) == ("n", "u")
    assert (database["HOST"], database["PORT"]) == (host, port)
    assert {name: database["OPTIONS"][name] for name in more} == more


# --- NAME_FILE ---

# All variables that contain a secret: keys, and URLs with a password.
SECRETS = [
    "SECRET_KEY", "WEBHOOK_KEYS", "DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "EMAIL_URL",
]  # fmt: skip
WITH_BROKER = RIGHT | {"CELERY_BROKER_URL": f"redis://:{SECRET}@127.0.0.1:1/3"}


def test_every_secret_may_be_in_a_file(start: Any, tmp_path: Path) -> None:
    expected = start(**WITH_BROKER)
    files: dict[str, str | None] = {}
    for name in SECRETS:
        path = tmp_path / name
        path.write_text(f"{os.environ[name]}\n")
        files |= {name: None, f"{name}_FILE": str(path)}

    found = start(**files)

    for setting in (
        "SECRET_KEY", "WEBHOOK_KEYS", "DATABASES", "REDIS_URL", "CELERY_BROKER_URL",
        "EMAIL_HOST_PASSWORD",
    ):  # fmt: skip
        assert found[setting] == expected[setting], setting


@pytest.mark.parametrize("name", SECRETS)
def test_a_value_and_a_file_together_are_rejected(start: Any, tmp_path: Path, name: str) -> None:
    path = tmp_path / "secret"
    path.write_text(WITH_BROKER[name])

    with pytest.raises(SystemExit, match=rf"^{name}_FILE is set as well as {name}: expected"):
        start(**WITH_BROKER, **{f"{name}_FILE": str(path)})


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        ("folder", "cannot be read"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe\x00secret", "is not UTF-8 text"),
        (b"hunter2\nhunter2\n", "more than one line"),
        (b"hunter2" * 20_000, "more than one line"),
    ],
    ids=["missing", "folder", "empty", "blank", "binary", "two lines", "too long"],
)
def test_unusable_files(start: Any, tmp_path: Path, name: str, content: Any, problem: str) -> None:
    path = tmp_path / "secret"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)

    with pytest.raises(SystemExit) as stopped:
        start(**{name: None, f"{name}_FILE": str(path)})

    line = str(stopped.value.code)
    assert line.startswith(f"{name}_FILE names ")
    assert problem in line
    assert "\n" not in line
    assert SECRET not in line


def test_a_wrong_value_in_a_file_is_not_shown(start: Any, tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_text(SECRET)

    with pytest.raises(SystemExit) as stopped:
        start(WEBHOOK_TIMEOUT_FILE=str(path))

    assert str(stopped.value.code).startswith("WEBHOOK_TIMEOUT has a wrong value: expected")


# --- Each kind of process ---

GUNICORN = ["-m", "gunicorn", "settings.wsgi", "--bind", "127.0.0.1:0", "--workers", "2"]
START = {
    "manage.py": ["manage.py", "check"],
    "gunicorn": GUNICORN,
    "worker": ["-m", "celery", "--quiet", "-A", "settings", "worker", "--pool", "gevent"],
    "beat": ["-m", "celery", "--quiet", "-A", "settings", "beat"],
}


@pytest.mark.parametrize("program", START)
def test_each_process_stops_with_one_line(program: str, tmp_path: Path) -> None:
    done = run(START[program], tmp_path)

    assert done.returncode == 1
    assert done.stdout + done.stderr == f"{TOO_SHORT}\n"


def test_gunicorn_restarts_no_worker_without_its_configuration(tmp_path: Path) -> None:
    done = run([*GUNICORN, "--config", "/dev/null"], tmp_path)

    assert done.returncode == 3
    assert done.stderr.count(TOO_SHORT) in (1, 2)  # once for each of the two workers, at most
    assert "Traceback" not in done.stderr


TOO_SHORT = "SECRET_KEY is too short: expected a random text, at least 32 characters long."


def run(arguments: list[str], var_dir: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=kept | RIGHT | {"SECRET_KEY": SECRET, "VAR_DIR": str(var_dir)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
