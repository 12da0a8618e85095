"""SECRET_KEY and WEBHOOK_KEYS: from the environment, or from the file that development keeps."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from settings.environment.values import given, stop

# 32 random characters have at least 128 bits of entropy, whatever their alphabet.
SHORTEST_KEY = 32
_NAMES = ("SECRET_KEY", "WEBHOOK_KEYS")


def read_keys(var_dir: Path, development: bool) -> dict[str, str]:
    """Returns `SECRET_KEY` and `WEBHOOK_KEYS` (comma-separated, newest first).

    In development (DEBUG on), a missing key is taken from `keys.json` in `var_dir`, which is
    created once, readable only by its owner. In production both are required, and the keys that
    encrypt from now on, SECRET_KEY and the first of WEBHOOK_KEYS, have a minimum length.
    """
    keys = {name: value for name in _NAMES if (value := given(name))}
    if len(keys) < len(_NAMES):
        if not development and not (var_dir / "keys.json").exists():
            missing = next(name for name in _NAMES if name not in keys)
            stop(missing, "is not set", "a long random text; it is required when DEBUG is off")
        keys = _kept_keys(var_dir / "keys.json") | keys
    webhook_keys = [key for part in keys["WEBHOOK_KEYS"].split(",") if (key := part.strip())]
    if not webhook_keys:
        stop("WEBHOOK_KEYS", "contains no key", "long random texts, comma-separated, newest first")
    if not development:
        _check_length("SECRET_KEY", keys["SECRET_KEY"], "a random text")
        _check_length("WEBHOOK_KEYS", webhook_keys[0], "keys, newest first, the first one random")
    return keys | {"WEBHOOK_KEYS": ",".join(webhook_keys)}


def _check_length(name: str, key: str, expected: str) -> None:
    if len(key) < SHORTEST_KEY:
        stop(name, "is too short", f"{expected}, at least {SHORTEST_KEY} characters long")


def _kept_keys(path: Path) -> dict[str, str]:
    """Reads keys.json, which is created if it does not exist. Stops the process if that fails."""
    folder = f"is {str(path.parent)!r}, where keys.json"
    try:
        if not path.exists():
            _create_keys(path)
        kept: Any = json.loads(path.read_text())
    except OSError as error:
        expected = "the path of a folder that this process may write to"
        stop("VAR_DIR", f"{folder} cannot be kept ({error.strerror})", expected)
    except ValueError:
        kept = None
    if not (isinstance(kept, dict) and all(_is_key(kept.get(name)) for name in _NAMES)):
        expected = "a folder with an intact keys.json: restore it from a backup"
        stop("VAR_DIR", f"{folder} is damaged", expected)
    return kept


def _is_key(kept: Any) -> bool:
    return isinstance(kept, str) and bool(kept)


def _create_keys(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = {"SECRET_KEY": secrets.token_urlsafe(50), "WEBHOOK_KEYS": secrets.token_urlsafe(32)}
    draft = path.with_suffix(f".{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(keys, file)
    try:
        os.link(draft, path)  # fails if another process was first: then its keys are used
    except FileExistsError:
        pass
    finally:
        draft.unlink()
