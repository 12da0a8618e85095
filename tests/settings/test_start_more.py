"""Wrong values that were only found out at the first connection or the first mail."""

import json
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.settings.test_start import LONG, SECRET
from tests.settings.test_start import start as start  # noqa: PLC0414  # the fixture

PASSWD = "/etc/passwd"  # a file without certificates
WRONG = [
    ("DATABASE_URL", [f"postgres://u@h/n?{query}" for query in (
        "connect_timeout=abc", "connect_timeout=", "keepalives_idle=abc", "tcp_user_timeout=x",
        "client_encoding=foo", "gssencmode=foo", "channel_binding=foo", "load_balance_hosts=foo",
        "ssl_min_protocol_version=9", "require_auth=foo", "require_auth=md5,!none",
        "sslrootcert=/nope", f"sslrootcert={PASSWD}", "sslnegotiation=foo", "sslcertmode=foo",
    )]),
    ("REDIS_URL", [
        "redis://h/-1", "redis://h:0/0", "redis://h h/0", "redis://h/0#x", "redis://h/\u0661",
        "sentinel://h:0/0?master_name=m", "sentinel://h/-1?master_name=m",
        "sentinel://h h/0?master_name=m",
        f"rediss://h/0?ssl_ca_certs={PASSWD}", f"rediss://h/0?ssl_certfile={PASSWD}",
    ]),
    ("CELERY_BROKER_URL", [
        "redis://h/-1", "amqp://h ost/v", "amqp://h:0/v", f"amqps://h/v?ssl_ca_certs={PASSWD}",
        "amqp://a;amqp://b c",
    ]),
    ("DEFAULT_FROM_EMAIL", [
        "Meta\nAccess <no@x.example>", "a@b.example, c@d.example", "Foo <a@b.example> junk",
        "Meta\x07Access <no@x.example>",
    ]),
    ("PUBLIC_URL", ["https://a..b", "https://a..b.example"]),
    ("ALLOWED_HOSTS", ["a..b", "a.example,..b"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, v) for name, vs in WRONG for v in vs])
def test_it_stops_the_start_with_one_line(start: Any, name: str, value: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        start(**{name: value})

    line = str(stopped.value.code)
    assert line.startswith(f"{name} ")
    assert ": expected " in line
    assert "\n" not in line


@pytest.mark.parametrize("query", [
    "connect_timeout=0", "require_auth=!password,!md5", "require_auth=scram-sha-256",
    "client_encoding=utf8", "sslrootcert=system&sslmode=verify-full", "gssencmode=disable",
])  # fmt: skip
def test_parameters_that_libpq_takes(start: Any, query: str) -> None:
    options = start(DATABASE_URL=f"postgres://u@h/n?{query}")["DATABASES"]["default"]["OPTIONS"]

    assert options.items() >= dict(part.split("=") for part in query.split("&")).items()


@pytest.mark.parametrize(
    ("name", "scheme"), [("REDIS_URL", "rediss"), ("CELERY_BROKER_URL", "amqps")]
)
def test_files_of_tls_are_read(start: Any, tmp_path: Path, name: str, scheme: str) -> None:
    authority, other = trustme.CA(), trustme.CA()
    ours = authority.issue_cert("client.example")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    ours.private_key_pem.write_to_path(tmp_path / "key.pem")
    other.issue_cert("client.example").private_key_pem.write_to_path(tmp_path / "other.pem")

    def url(key: str) -> str:
        files = {"ssl_ca_certs": "ca.pem", "ssl_certfile": "cert.pem", "ssl_keyfile": key}
        query = "&".join(f"{part}={tmp_path / file}" for part, file in files.items())
        return f"{scheme}://h/0?{query}"

    start(**{name: url("key.pem")})
    with pytest.raises(SystemExit, match=f"^{name} has a wrong value: expected"):
        start(**{name: url("other.pem")})


@pytest.mark.parametrize("name", ["EMAIL_URL", "PUBLIC_URL", "SECRET_KEY", "WEBHOOK_REQUIRE_HTTPS"])
def test_a_file_without_a_name_is_not_taken_for_the_default(start: Any, name: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        start(**{name: None, f"{name}_FILE": ""})

    takes = "the path of a readable text file with one line"
    assert stopped.value.code == f"{name}_FILE is empty: expected {takes}."


@pytest.mark.parametrize(
    "kept",
    ["", "{}", "[]", '{"SECRET_KEY": 5, "WEBHOOK_KEYS": "x"}', json.dumps({"SECRET_KEY": SECRET})],
)
def test_a_damaged_keys_file(start: Any, tmp_path: Path, kept: str) -> None:
    (tmp_path / "keys.json").write_text(kept)

    with pytest.raises(SystemExit) as stopped:
        start(VAR_DIR=str(tmp_path), WEBHOOK_KEYS=None)

    assert stopped.value.code == (
        f"VAR_DIR is {str(tmp_path)!r}, where keys.json is damaged: expected a folder with "
        "an intact keys.json: restore it from a backup."
    )


@pytest.mark.parametrize(
    ("path", "reason"),
    [(PASSWD, "File exists"), ("/proc/nope", "No such file or directory")],
)
def test_a_folder_that_cannot_be_made(start: Any, path: str, reason: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        start(VAR_DIR=path, DEBUG="true", SECRET_KEY=None)

    assert stopped.value.code == (
        f"VAR_DIR is {path!r}, where keys.json cannot be kept ({reason}): expected the path of a "
        "folder that this process may write to."
    )


def test_a_keys_file_is_not_looked_at_where_both_keys_are_given(start: Any, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("")

    assert start(VAR_DIR=str(tmp_path))["SECRET_KEY"] == LONG
