"""Reads settings from the environment; a wrong value stops the start with one line."""

import json
import os
import secrets
import sys
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from environs import Env, EnvError

T = TypeVar("T")
env = Env()

MOST_RETRIES = 100


def stop(name: str, problem: str, takes: str) -> NoReturn:
    sys.exit(f"{name} {problem}: it takes {takes}.")


def read(parse: Callable[..., T], name: str, default: Any, takes: str, secret: bool = False) -> T:
    """One variable, parsed by a reader of environs; `takes` says in words what it may be."""
    try:
        return parse(name, default)
    except (EnvError, ValueError, TypeError):
        shown = "has a wrong value" if secret else f"is {os.environ.get(name, '')!r}"
        stop(name, shown, takes)


def read_positive(name: str, default: float, takes: str, most: float = 1e9) -> float:
    value = read(env.float, name, default, takes)
    if not 0 < value <= most:
        stop(name, f"is {os.environ[name]!r}", takes)
    return value


def read_whole(name: str, default: int, takes: str, least: int = 1, most: int = 10**9 - 1) -> int:
    value = read(env.int, name, default, takes)
    if not least <= value <= most:
        stop(name, f"is {os.environ[name]!r}", takes)
    return value


def read_countdowns(name: str, default: str) -> tuple[float, ...]:
    """Seconds to wait before each retry; one attempt more than there are countdowns."""
    takes = "seconds before each retry, separated by commas, such as 4,60"
    try:
        countdowns = tuple(float(part) for part in env.str(name, default).split(","))
    except ValueError:
        stop(name, f"is {os.environ[name]!r}", takes)
    if not all(0 <= seconds < 86_400 for seconds in countdowns):
        stop(name, f"is {os.environ[name]!r}", takes + ", each less than a day")
    if len(countdowns) > MOST_RETRIES:
        stop(name, f"has {len(countdowns)} of them", f"{takes}, at most {MOST_RETRIES}")
    return countdowns


def read_networks(name: str) -> list[IPv4Network | IPv6Network]:
    try:
        return [ip_network(part.strip()) for part in env.str(name, "").split(",") if part.strip()]
    except ValueError:
        stop(name, f"is {os.environ[name]!r}", "networks such as 10.1.0.0/16,fd12::/32")


def read_url(name: str, default: str | None, takes: str) -> str:
    value = os.environ.get(name) or default
    if value is None:
        stop(name, "is not set", takes)
    if "://" not in value:
        stop(name, "has a wrong value", takes)
    return value


def read_keys(var_dir: Path, development: bool) -> dict[str, str]:
    """SECRET_KEY and WEBHOOK_KEYS: from the environment, else from the file that development keeps.

    The file is made once, readable by its owner alone, and only where DEBUG is on.
    """
    names = ("SECRET_KEY", "WEBHOOK_KEYS")
    given = {name: os.environ[name] for name in names if os.environ.get(name)}
    if len(given) == len(names):
        return given
    path = var_dir / "keys.json"
    if not path.exists():
        if not development:
            missing = next(name for name in names if name not in given)
            stop(missing, "is not set", "a long random text, and is required when DEBUG is off")
        make_keys(path)
    kept: dict[str, str] = json.loads(path.read_text())
    return kept | given


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
