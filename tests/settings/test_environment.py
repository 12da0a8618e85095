"""A wrong value stops the start with one line that names the variable and what is expected."""

import os
import ssl
import stat
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest
import trustme

from settings.environment import values
from settings.environment.keys import read_keys
from settings.environment.values import env, read, read_positive, read_url, read_whole


@pytest.mark.parametrize("value", ["", "4,sixty", "4;60", "-1", "nan", "86400"])
def test_invalid_countdowns(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("X", value)

    with pytest.raises(SystemExit, match=f"X is '{value}': expected seconds before each retry"):
        values.read_countdowns("X", "4,60")


def test_countdowns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert values.read_countdowns("X", "4,60") == (4.0, 60.0)
    monkeypatch.setenv("X", "0.5, 1,2")
    assert values.read_countdowns("X", "4,60") == (0.5, 1.0, 2.0)


@pytest.mark.parametrize("value", ["0", "-1", "ten", "inf", "nan"])
def test_invalid_positive_numbers(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("X", value)

    with pytest.raises(SystemExit, match=f"X is '{value}': expected seconds"):
        read_positive("X", 10, "seconds")


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "ten"])
def test_invalid_whole_numbers(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("X", value)

    with pytest.raises(SystemExit, match=f"X is '{value}': expected days"):
        read_whole("X", 7, "days")


def test_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert values.read_networks("X") == []
    monkeypatch.setenv("X", "10.1.0.0/16, ::1/128")
    assert values.read_networks("X") == [ip_network("10.1.0.0/16"), ip_network("::1/128")]
    monkeypatch.setenv("X", "10.1.0.1/16")
    with pytest.raises(SystemExit, match=r"X is '10\.1\.0\.1/16': expected networks"):
        values.read_networks("X")


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "hunter2")

    with pytest.raises(SystemExit) as address:
        read_url("X", None, "an address")
    with pytest.raises(SystemExit) as number:
        read(env.int, "X", 1, "a number", secret=True)

    assert "hunter2" not in f"{address.value.code}{number.value.code}"


def test_development_keys_are_created_once_and_readable_only_by_their_owner(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.delenv("WEBHOOK_KEYS", raising=False)

    first = read_keys(tmp_path / "var", development=True)

    assert first == read_keys(tmp_path / "var", development=True)
    assert stat.S_IMODE(os.stat(tmp_path / "var" / "keys.json").st_mode) == 0o600
    monkeypatch.setenv("WEBHOOK_KEYS", "mine")
    assert read_keys(tmp_path / "var", development=True) == first | {"WEBHOOK_KEYS": "mine"}


def test_keys_are_required_in_production(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRET_KEY", "given")
    monkeypatch.delenv("WEBHOOK_KEYS", raising=False)

    with pytest.raises(SystemExit, match="WEBHOOK_KEYS is not set"):
        read_keys(tmp_path, development=False)

    assert list(tmp_path.iterdir()) == []


def test_certificates_are_read_at_the_start_without_the_files_other_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, second = trustme.CA(), trustme.CA()
    file = tmp_path / "ca.pem"
    parts = (b"# our own\r\n", first.cert_pem.bytes(), first.private_key_pem.bytes(),
             second.cert_pem.bytes())  # fmt: skip
    file.write_bytes(b"".join(parts))

    assert values.read_certificates("X") == ""
    monkeypatch.setenv("X", str(file))
    read = values.read_certificates("X")

    file.unlink()
    assert read.count("BEGIN CERTIFICATE") == 2
    assert "PRIVATE" not in read
    context = ssl.create_default_context(cadata=read)
    assert context.cert_store_stats()["x509_ca"] == 2


CA_FILES: dict[str, bytes | None] = {
    "missing": None,
    "empty": b"",
    "no PEM": b"hello",
    "DER": b"0\x82\x01\x0a\x02",
    "PEM without a certificate": b"-----BEGIN X-----\nAAAA\n-----END X-----\n",
    "broken": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "only a private key": trustme.CA().private_key_pem.bytes(),
}


@pytest.mark.parametrize("content", CA_FILES.values(), ids=CA_FILES.keys())
def test_invalid_certificate_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("X", str(file))

    with pytest.raises(SystemExit, match=r"^X is '.*ca\.pem', which .*: expected a file of cert"):
        values.read_certificates("X")


@pytest.mark.parametrize("path", ["{tmp}", "/dev/null", "{tmp}/pipe", "{tmp}/ca.pem/x"])
def test_only_regular_files_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "ca.pem").touch()
    monkeypatch.setenv("X", path.format(tmp=tmp_path))

    with pytest.raises(SystemExit, match=r"^X is .*: expected a file of certificates"):
        values.read_certificates("X")


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
        ("WEBHOOK_CA_FILE", "/etc/ssl/nope.pem"),
        ("WEBHOOK_CA_FILE", "/etc"),
    ],
)
def test_an_invalid_value_stops_the_start_with_one_line(
    monkeypatch: pytest.MonkeyPatch, read_settings: Callable[[], object], name: str, value: str
) -> None:
    for each, given in {"SECRET_KEY": "s", "WEBHOOK_KEYS": "k", name: value}.items():
        monkeypatch.setenv(each, given)

    with pytest.raises(SystemExit) as stopped:
        read_settings()

    line = str(stopped.value.code)
    assert line.startswith(f"{name} ")
    assert "\n" not in line
    assert ": expected " in line
