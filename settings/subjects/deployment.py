"""Where this installation runs: its folders, its public address and its keys."""

from pathlib import Path

from settings.environment.addresses import host_of, read_hosts, read_public_url
from settings.environment.keys import read_keys
from settings.environment.values import env, read

BASE_DIR = Path(__file__).resolve().parents[2]
VAR_DIR = Path(env.str("VAR_DIR", str(BASE_DIR / "var"))).absolute()

DEBUG = read(env.bool, "DEBUG", False, "true or false")
PUBLIC_URL = read_public_url("PUBLIC_URL", "http://localhost:8000")
ALLOWED_HOSTS = read_hosts("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
ALLOWED_HOSTS += [host_of(PUBLIC_URL)]  # a request to the public address never answers 400
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]

_keys = read_keys(VAR_DIR, development=DEBUG)
SECRET_KEY = _keys["SECRET_KEY"]
WEBHOOK_KEYS: list[str] = _keys["WEBHOOK_KEYS"].split(",")
