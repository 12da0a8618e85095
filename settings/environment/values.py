"""Reads settings from the environment; a wrong value stops the start with one line."""

import json
import os
import secrets
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
_FILE_TAKES = "the path of a readable text file with one line"
_MAX_FILE_BYTES = 64 * 1024
# A token of 32 random characters has at least 128 bits, whatever their alphabet.
SHORTEST_KEY = 32

MOST_RETRIES = 100
_KEYS = ("SECRET_KEY", "WEBHOOK_KEYS")


def stop(name: str, problem: str, takes: str) -> NoReturn:
    sys.exit(f"{name} {problem}: it takes {takes}.")


def stop_at_value(name: str, takes: str, secret: bool = False) -> NoReturn:
    """Repeats the value only where it cannot be a secret: never the content of a file."""
    shown = not secret and name in os.environ
    stop(name, f"is {os.environ[name]!r}" if shown else "has a wrong value", takes)


def given(name: str) -> str | None:
    """The variable's value, or the content of the file that NAME_FILE names, without the
    whitespace around it. None: neither is set."""
    value = os.environ.get(name)
    path = os.environ.get(name + FILE_SUFFIX)
    if path is None:
        return value if value is None else value.strip()
    if value:
        stop(name + FILE_SUFFIX, f"is set beside {name}", f"the place of {name}: unset one of them")
    if not path:
        stop(name + FILE_SUFFIX, "is empty", _FILE_TAKES)
    return _content(name + FILE_SUFFIX, path)


def _content(name: str, path: str) -> str:
    takes = _FILE_TAKES
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        stop(name, f"names {path!r}, which is not UTF-8 text", takes)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a path"
        stop(name, f"names {path!r}, which cannot be read ({reason})", takes)
    if not text:
        stop(name, f"names {path!r}, which is empty", takes)
    if len(content) > _MAX_FILE_BYTES or len(text.splitlines()) > 1:
        stop(name, f"names {path!r}, which has more than one line", takes)
    return text


class _Environment(Env):
    """Takes each value from `given`, so that each may be in a file."""

    def _get_value(self, env_key: str, default: Any) -> Any:
        value = given(env_key)
        return default if value is None else value


env = _Environment()


def read(parse: Callable[..., T], name: str, default: Any, takes: str, secret: bool = False) -> T:
    """One variable, parsed by a reader of environs; `takes` says in words what it may be."""
    try:
        return parse(name, default)
    except (EnvError, ValueError, TypeError):
        stop_at_value(name, takes, secret)


def read_positive(name: str, default: float, takes: str, most: float = 1e9) -> float:
    value = read(env.float, name, default, takes)
    if not 0 < value <= most:
        stop_at_value(name, takes)
    return value


def read_whole(name: str, default: int, takes: str, least: int = 1, most: int = 10**9 - 1) -> int:
    value = read(env.int, name, default, takes)
    if not least <= value <= most:
        stop_at_value(name, takes)
    return value


def read_countdowns(name: str, default: str) -> tuple[float, ...]:
    """Seconds to wait before each retry; one attempt more than there are countdowns."""
    takes = "seconds before each retry, separated by commas, such as 4,60"
    try:
        countdowns = tuple(float(part) for part in env.str(name, default).split(","))
    except ValueError:
        stop_at_value(name, takes)
    if not all(0 <= seconds < 86_400 for seconds in countdowns):
        stop_at_value(name, takes + ", each less than a day")
    if len(countdowns) > MOST_RETRIES:
        stop(name, f"has {len(countdowns)} of them", f"{takes}, at most {MOST_RETRIES}")
    return countdowns


def read_networks(name: str) -> list[IPv4Network | IPv6Network]:
    try:
        return [ip_network(part.strip()) for part in env.str(name, "").split(",") if part.strip()]
    except ValueError:
        stop_at_value(name, "networks such as 10.1.0.0/16,fd12::/32")


def read_url(name: str, default: str | None, takes: str) -> str:
    """A URL that may hold a password, so it is never repeated. Empty counts as unset."""
    value = given(name) or default
    if value is None:
        stop(name, "is not set", takes)
    if "://" not in value:
        stop(name, "has a wrong value", takes)
    return value


def read_certificates(name: str) -> str:
    """The certificates of a PEM file, and nothing else of it; '' where the variable is not set.

    Read at the start, so that a file that is wrong or goes away later fails no push.
    """
    path = env.str(name, "")
    if not path:
        return ""
    takes = "a file of certificates in PEM format, which are trusted beside the public authorities"
    if Path(path).exists() and not Path(path).is_file():
        stop(name, f"is {path!r}, which is not a file", takes)
    try:
        certificates = x509.load_pem_x509_certificates(Path(path).read_bytes())
        return "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)
    except OSError as problem:
        stop(name, f"is {path!r}, which cannot be read ({problem.strerror})", takes)
    except ValueError:
        stop(name, f"is {path!r}, which holds no certificate, or a broken one", takes)


def read_keys(var_dir: Path, development: bool) -> dict[str, str]:
    """SECRET_KEY and WEBHOOK_KEYS: from the environment, else from the file that development keeps.

    The file is made once, readable by its owner alone, and only where DEBUG is on. Otherwise both
    are required, and what seals from now on is long: SECRET_KEY and the first of WEBHOOK_KEYS.
    """
    keys = {name: value for name in _KEYS if (value := given(name))}
    if len(keys) < len(_KEYS):
        if not development and not (var_dir / "keys.json").exists():
            missing = next(name for name in _KEYS if name not in keys)
            stop(missing, "is not set", "a long random text, and is required when DEBUG is off")
        keys = _kept_keys(var_dir / "keys.json") | keys
    webhook_keys = [key for part in keys["WEBHOOK_KEYS"].split(",") if (key := part.strip())]
    if not webhook_keys:
        stop("WEBHOOK_KEYS", "names no key", "long random texts separated by commas, newest first")
    if not development:
        _check_length("SECRET_KEY", keys["SECRET_KEY"], "a random text")
        _check_length("WEBHOOK_KEYS", webhook_keys[0], "keys, newest first, the first one random")
    return keys | {"WEBHOOK_KEYS": ",".join(webhook_keys)}


def _check_length(name: str, key: str, takes: str) -> None:
    if len(key) < SHORTEST_KEY:
        stop(name, "is too short", f"{takes} and at least {SHORTEST_KEY} characters long")


def _kept_keys(path: Path) -> dict[str, str]:
    try:
        if not path.exists():
            make_keys(path)
        kept: Any = json.loads(path.read_text())
    except OSError as error:
        problem = f"is {str(path.parent)!r}, where keys.json cannot be kept ({error.strerror})"
        stop("VAR_DIR", problem, "the path of a folder that this process may write to")
    except ValueError:
        kept = None
    if not (isinstance(kept, dict) and all(_is_key(kept.get(name)) for name in _KEYS)):
        problem = f"is {str(path.parent)!r}, where keys.json is damaged"
        stop("VAR_DIR", problem, "a folder with keys.json as it was made: restore it from a backup")
    return kept


def _is_key(kept: Any) -> bool:
    return isinstance(kept, str) and bool(kept)


def make_keys(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = {"SECRET_KEY": secrets.token_urlsafe(50), "WEBHOOK_KEYS": secrets.token_urlsafe(32)}
    draft = path.with_suffix(f".{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(keys, file)
    try:
        os.link(draft, path)  # fails where another process was first: its keys are the ones
    except FileExistsError:
        pass
    finally:
        draft.unlink()
