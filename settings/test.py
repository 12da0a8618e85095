"""Settings for the test process itself. Processes that tests start use `settings.base`."""

import os

os.environ.setdefault("DATABASE_URL", "postgres://postgres@localhost/metaaccess")
os.environ.setdefault("REDIS_URL", "redis://localhost/0")
os.environ["DEBUG"] = "true"

from settings.base import *  # noqa: F403  # all settings, except those below
from settings.base import DATABASES

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES["default"]["OPTIONS"].pop("pool")
DEBUG = False
WEBHOOK_KEYS = ["test"]
WHITENOISE_AUTOREFRESH = True
