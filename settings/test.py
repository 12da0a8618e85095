"""Settings of the tests: what runs in the test process itself."""

import os

os.environ.setdefault("DATABASE_URL", "postgres://postgres@localhost/metaaccess")
os.environ.setdefault("REDIS_URL", "redis://localhost/0")
os.environ["DEBUG"] = "true"

from settings.base import *  # noqa: F403  # all of them, but for what follows
from settings.base import DATABASES

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES["default"]["OPTIONS"].pop("pool")
DEBUG = False
WEBHOOK_KEYS = ["test"]
WHITENOISE_AUTOREFRESH = True
