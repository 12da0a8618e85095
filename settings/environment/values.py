"""Reads settings from the environment. A wrong value stops the start with one line."""

import os
import sys
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from environs import Env, EnvError

T = TypeVar("T")
FILE_SUFFIX = "_FILE"
_FILE_EXPECTED = "the path of a readable text file with one line"
_MAX_FILE_BYTES = 64 * 1024
MOST_RETRIES = 100


def stop(name: str, problem: str, expected: str) -> NoReturn:
    """Ends the process with a line such as `DEBUG is 'perhaps': expected true or false.`"""
    sys.exit(f"{name} {problem}: expected {expected}.")


def stop_at_value(name: str, expected: str, secret: bool = False) -> NoReturn:
    """Like `stop`, but shows the value unless it may be a secret or comes from a file."""
    shown = not secret and name in os.environ
    stop(name, f"is {os.environ[name]!r}" if shown else "has a wrong value", expected)


def given(name: str) -> str | None:
    """Returns a variable's value, or the content of the file that NAME_FILE names.

    Whitespace around the value is removed. Returns None if neither variable is set, and stops the
    process if both are.
    """
    value = os.environ.get(name)
    path = os.environ.get(name + FILE_SUFFIX)
    if path is None:
        return value if value is None else value.strip()
    if value:
        stop(name + FILE_SUFFIX, f"is set as well as {name}", "only one of them")
    if not path:
        stop(name + FILE_SUFFIX, "is empty", _FILE_EXPECTED)
    return _content(name + FILE_SUFFIX, path)


def _content(name: str, path: str) -> str:
    expected = _FILE_EXPECTED
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        stop(name, f"names {path!r}, which is not UTF-8 text", expected)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a path"
        stop(name, f"names {path!r}, which cannot be read ({reason})", expected)
    if not text:
        stop(name, f"names {path!r}, which is empty", expected)
    if len(content) > _MAX_FILE_BYTES or len(text.splitlines()) > 1:
        stop(name, f"names {path!r}, which has more than one line", expected)
    return text


class _Environment(Env):
    """Reads every value through `given`, so that any setting may be in a file."""

    def _get_value(self, env_key: str, default: Any) -> Any:
        value = given(env_key)
        return default if value is None else value


env = _Environment()


def read(
    parse: Callable[..., T], name: str, default: Any, expected: str, secret: bool = False
) -> T:
    """Reads a variable with a parser of environs. `expected` describes valid values in words."""
    try:
        return parse(name, default)
    except (EnvError, ValueError, TypeError):
        stop_at_value(name, expected, secret)


def read_positive(name: str, default: float, expected: str, most: float = 1e9) -> float:
    """Reads a number greater than 0 and at most `most`."""
    value = read(env.float, name, default, expected)
    if not 0 < value <= most:
        stop_at_value(name, expected)
    return value


def read_whole(
    name: str, default: int, expected: str, least: int = 1, most: int = 10**9 - 1
) -> int:
    """Reads an integer from `least` to `most`."""
    value = read(env.int, name, default, expected)
    if not least <= value <= most:
        stop_at_value(name, expected)
    return value


def read_countdowns(name: str, default: str) -> tuple[float, ...]:
    """Returns the seconds to wait before each retry. A push has one attempt more than that."""
    expected = "seconds before each retry, comma-separated, such as 4,60"
    try:
        countdowns = tuple(float(part) for part in env.str(name, default).split(","))
    except ValueError:
        stop_at_value(name, expected)
    if not all(0 <= seconds < 86_400 for seconds in countdowns):
        stop_at_value(name, expected + ", each less than a day")
    if len(countdowns) > MOST_RETRIES:
        stop(name, f"has {len(countdowns)} values", f"{expected}, at most {MOST_RETRIES}")
    return countdowns


def read_networks(name: str) -> list[IPv4Network | IPv6Network]:
    """Returns networks in CIDR notation; none if the variable is not set."""
    try:
        return [ip_network(part.strip()) for part in env.str(name, "").split(",") if part.strip()]
    except ValueError:
        stop_at_value(name, "networks such as 10.1.0.0/16,fd12::/32")


def read_url(name: str, default: str | None, expected: str) -> str:
    """Reads a URL. An empty value counts as unset; None as `default` makes the variable required.

    The URL may contain a password, so no error shows it.
    """
    value = given(name) or default
    if value is None:
        stop(name, "is not set", expected)
    if "://" not in value:
        stop(name, "has a wrong value", expected)
    return value


def read_certificates(name: str) -> str:
    """Returns the certificates in a PEM file, without its other content; '' if not set.

    The file is read at the start, so that no push fails if it disappears or is damaged later.
    """
    path = env.str(name, "")
    if not path:
        return ""
    expected = "a file of certificates in PEM format, trusted in addition to the public authorities"
    if Path(path).exists() and not Path(path).is_file():
        stop(name, f"is {path!r}, which is not a file", expected)
    try:
        certificates = x509.load_pem_x509_certificates(Path(path).read_bytes())
        return "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)
    except OSError as problem:
        stop(name, f"is {path!r}, which cannot be read ({problem.strerror})", expected)
    except ValueError:
        stop(name, f"is {path!r}, which contains no certificate or a broken one", expected)
