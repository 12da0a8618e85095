"""The web process: static files, sessions and proxies."""

from settings.environment.values import read_whole
from settings.subjects.deployment import BASE_DIR

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True  # a fresh clone has a working console without collectstatic
SESSION_ENGINE = "metaaccess.people.sessions"
SESSION_COOKIE_AGE = 12 * 3600  # seconds from sign-in, regardless of activity
TRUSTED_PROXIES = read_whole(
    "TRUSTED_PROXIES",
    1,
    "the number of proxies that add to X-Forwarded-For, from 0 (none) to 100",
    least=0,
    most=100,
)
