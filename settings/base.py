"""Every setting, read from the environment, once. README.md has the table."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.templatetags.static import static

from metaaccess import VERSION
from settings.environment import addresses, broker, values
from settings.environment.values import env, read, read_positive, read_whole

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(env.str("VAR_DIR", str(BASE_DIR / "var"))).absolute()

DEBUG = read(env.bool, "DEBUG", False, "true or false")
PUBLIC_URL = addresses.read_public_url("PUBLIC_URL", "http://localhost:8000")
ALLOWED_HOSTS = addresses.read_hosts("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
ALLOWED_HOSTS += [addresses.host_of(PUBLIC_URL)]  # its own name never answers 400
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
_keys = values.read_keys(VAR_DIR, development=DEBUG)
SECRET_KEY = _keys["SECRET_KEY"]

# --- Applications ---------------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "console.admin_config.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "knox",
    "csp",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "metaaccess",
    "eventlog",
    "webhooks",
    "api",
    # Behind the event log, which tells a failed sign-in from one that was not even tried.
    "axes",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "console",  # last: it puts its pages in the place of those of others
]
MIDDLEWARE = [
    # These three only add headers, whatever the request.
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "settings.processes.middleware.UnavailableMiddleware",
    "settings.processes.middleware.ProbeMiddleware",  # before all that looks at the host or a session
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "metaaccess.people.actor.ActorMiddleware",
    "console.time_zone.TimeZoneMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "axes.middleware.AxesMiddleware",  # last, as it asks for
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "console" / "templates"],  # before those of unfold
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            # Its csrf_token is in the place of Django's: each form acts once.
            "builtins": ["console.templatetags.console_forms"],
        },
    }
]
ROOT_URLCONF = "settings.urls"
WSGI_APPLICATION = "settings.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"

# --- People ---------------------------------------------------------------------------------

AUTH_USER_MODEL = "metaaccess.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
_rules = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {"NAME": f"{_rules}.UserAttributeSimilarityValidator"},
    {"NAME": f"{_rules}.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": f"{_rules}.CommonPasswordValidator"},
    {"NAME": f"{_rules}.NumericPasswordValidator"},
]
# metaaccess/people/sign_in.py says when somebody is locked out.
AXES_HANDLER = "metaaccess.people.sign_in.Lockout"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], "username", "ip_address"]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_USERNAME_CALLABLE = "metaaccess.people.sign_in.tried_address"
AXES_CLIENT_IP_CALLABLE = "metaaccess.people.sign_in.place"
AXES_LOCKOUT_CALLABLE = "console.people.sign_in.locked_out"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "code", "csrfmiddlewaretoken"]
AXES_DISABLE_ACCESS_LOG = True  # the Admin log has it
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
OTP_TOTP_ISSUER = "MetaAccess"
KNOX_TOKEN_MODEL = "metaaccess.ApiToken"  # noqa: S105 - a model's name
# Its migrations would make the table that ours is in the place of.
MIGRATION_MODULES = {"knox": None}
REST_KNOX = {"TOKEN_TTL": None, "AUTH_HEADER_PREFIX": "Token"}

# --- Database and Redis ---------------------------------------------------------------------

_database = addresses.read_database("DATABASE_URL")
# The pool keeps the number of connections per process small however many tasks run in it;
# nobody holds one while a request to a customer is under way.
DATABASE_POOL_SIZE = read_whole(
    "DATABASE_POOL_SIZE", 8, "how many connections a process may hold", most=1_000
)
# Whoever needs a connection asks for it (metaaccess/postgresql): the pool itself does not go on
# trying with pauses that grow to minutes.
_database["OPTIONS"]["pool"] = {
    "min_size": 1, "max_size": DATABASE_POOL_SIZE, "reconnect_timeout": 0,
}  # fmt: skip
# After a restart of PostgreSQL nobody gets a connection that died with it.
_database["CONN_HEALTH_CHECKS"] = True
DATABASES = {"default": _database}

REDIS_URL = broker.read_redis_url()
# A frozen Redis must not hold a web request: the sweep finds what could not be announced.
REDIS_TIMEOUT_S = 1.0

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": [REDIS_URL],  # as a text it would be split at commas
        "KEY_PREFIX": "metaaccess",
        "OPTIONS": {
            "pool_class": "metaaccess.servers.redis_client.CachePool",
            "socket_timeout": REDIS_TIMEOUT_S,
            "socket_connect_timeout": REDIS_TIMEOUT_S,
        },
    }
}

# --- Celery (docs/adr/0005 and 0021 give the reason for each) ---------------------------------

_broker_url = broker.read_broker_url(REDIS_URL)
RABBITMQ_QUEUE_TYPE = broker.read_queue_type(_broker_url)
# The wake-up flags are in REDIS_URL. If that is the broker, too, both are away together.
FLAGS_ARE_IN_BROKER = _broker_url == REDIS_URL
# A retry that is due later than this has no message that waits for it: the sweep is exact enough.
LONGEST_ALARM_S = 300
# A message that was given out is given out anew after this time, by the clocks of two workers: so
# that much longer than it may wait in the first.
globals().update(broker.celery_options(_broker_url, visibility_timeout_s=12 * LONGEST_ALARM_S))
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A Redis that became a replica answers, and refuses.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_WORKER_CONSUMER = "settings.processes.consumer.Consumer"
CELERY_WORKER_ENABLE_PREFETCH_COUNT_REDUCTION = False
CELERY_TASK_PUBLISH_RETRY_POLICY = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 0.2,
    "errback": broker.retry_no_timeout,
}
CELERY_TASK_IGNORE_RESULT = True
# One (absent) result backend for all tasks. By default each new greenlet looks for one among all
# installed packages: a quarter of a worker's CPU when it was measured.
CELERY_RESULT_BACKEND_THREAD_SAFE = True
CELERY_TASK_ACKS_LATE = False  # the lease in the database recovers what a crash cut off
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_QUEUES = broker.queues(_broker_url, RABBITMQ_QUEUE_TYPE)
CELERY_TASK_DEFAULT_QUEUE = broker.CONTROL
CELERY_TASK_ROUTES = {"webhooks.tasks.push_due": {"queue": broker.PUSHES}}
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "settings.processes.beat.Scheduler"
PUBLISH_OPTIONS: dict[str, Any] = broker.IN_TIME
SWEEP_INTERVAL_S = 2.0


def _every(seconds: float, task: str, queue: str = broker.CONTROL) -> dict[str, Any]:
    """An entry of the schedule. Without `expires`: it compares the clocks of two hosts."""
    return {"task": task, "schedule": seconds, "options": {"queue": queue, **PUBLISH_OPTIONS}}


_hourly = 3600.0
CELERY_BEAT_SCHEDULE = {
    "sweep": _every(SWEEP_INTERVAL_S, "webhooks.tasks.sweep", broker.SWEEP),
    "send-notices": _every(30.0, "webhooks.tasks.send_notices"),
    "remove-deleted": _every(15.0, "webhooks.tasks.remove_deleted"),
    "count": _every(15.0, "webhooks.tasks.count"),
    "check": _every(_hourly, "webhooks.tasks.check"),
    "warn-of-certificates": _every(_hourly, "webhooks.tasks.warn_of_certificates"),
    "prune": _every(_hourly, "webhooks.tasks.prune"),
    "prune-sign-ins": _every(_hourly, "metaaccess.tasks.prune"),
}

# --- Webhooks -------------------------------------------------------------------------------

WEBHOOK_KEYS: list[str] = _keys["WEBHOOK_KEYS"].split(",")
WEBHOOK_RETRY_COUNTDOWNS = values.read_countdowns("WEBHOOK_RETRY_COUNTDOWNS", "4,60")
WEBHOOK_DISABLE_AFTER = read_whole(
    "WEBHOOK_DISABLE_AFTER", 100, "how many failed pushes in a row disable a webhook"
)
WEBHOOK_TIMEOUT_S = read_positive(
    "WEBHOOK_TIMEOUT", 10, "the seconds that one attempt may take, more than 0, at most 300", 300
)
WEBHOOK_REQUIRE_HTTPS = read(env.bool, "WEBHOOK_REQUIRE_HTTPS", True, "true or false")
WEBHOOK_ALLOWED_NETWORKS = values.read_networks("WEBHOOK_ALLOWED_NETWORKS")
WEBHOOK_ALLOWED_PORTS: frozenset[int] | None = None
WEBHOOK_CA_CERTIFICATES = values.read_certificates("WEBHOOK_CA_FILE")
# A platform outage (docs/adr/0025): this many receivers become unreachable within this many
# seconds, and they are at least this percentage of the receivers that are heard of meanwhile.
WEBHOOK_OUTAGE_RECEIVERS = read_whole(
    "WEBHOOK_OUTAGE_RECEIVERS", 10, "a number of receivers, or 0 for never", least=0
)
WEBHOOK_OUTAGE_WITHIN_S = read_positive(
    "WEBHOOK_OUTAGE_WITHIN", 120, "the seconds within which they stop, at most a day", 86_400
)
WEBHOOK_OUTAGE_PERCENT = read_whole(
    "WEBHOOK_OUTAGE_PERCENT", 80, "a part of 100, from 1 to 100", most=100
)
WEBHOOK_OUTAGE_LONGEST_HOURS = read_positive(
    "WEBHOOK_OUTAGE_LONGEST",
    24,
    "the hours after which an outage ends, more than 0, at most 8,760",
    most=8_760,
)
_days = "a number of days, at most 36500"
WEBHOOK_HELD_DAYS = read_whole("WEBHOOK_HELD_DAYS", 7, _days, most=36_500)
EVENT_LOG_DAYS = read_whole("EVENT_LOG_DAYS", 90, _days, most=36_500)
WEBHOOK_USER_AGENT = f"MetaAccess-Webhook/{VERSION}"

# --- API ------------------------------------------------------------------------------------

# 1,000 changes of status, each with all its fields, and room to spare.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
API_REQUESTS_PER_MINUTE = read_whole(
    "API_REQUESTS_PER_MINUTE", 6000, "how many requests an API token may make in a minute"
)
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["metaaccess.people.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated",
        "api.conventions.permissions.MayWrite",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["api.conventions.throttling.PerToken"],
    "DEFAULT_FILTER_BACKENDS": ["api.conventions.filters.StrictFilters"],
    "DEFAULT_PARSER_CLASSES": ["api.conventions.parsing.BoundedJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "api.conventions.negotiation.JSONAlways",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "api.schema.Schema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "api.conventions.handler.handle",
    "URL_FORMAT_OVERRIDE": None,  # `format` is a parameter of the logs
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "MetaAccess Webhooks",
    "VERSION": "1",
    "DESCRIPTION": (BASE_DIR / "docs" / "api.md").read_text(),
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "PREPROCESSING_HOOKS": ["api.schema.only_v1"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "api.schema.complete",
    ],
    "ENUM_NAME_OVERRIDES": {
        "StatusEnum": "metaaccess.models.Status",
        "HeldEnum": "webhooks.operating.recovery.Held",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "/static/console/favicon.svg",
    "SWAGGER_UI_SETTINGS": {"persistAuthorization": False, "displayOperationId": False},
}

# --- Web ------------------------------------------------------------------------------------

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True  # no collectstatic step between a clone and a working console
SESSION_ENGINE = "metaaccess.people.sessions"
SESSION_COOKIE_AGE = 12 * 3600  # from the sign-in on, however busy
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
TRUSTED_PROXIES = read_whole(
    "TRUSTED_PROXIES", 1, "how many proxies add to X-Forwarded-For, 0 for none", least=0, most=100
)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
if PUBLIC_URL.startswith("https://"):  # then a proxy ends TLS, and sets this header itself
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    # No other host, and no plain page, can set a cookie of these names.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
    SECURE_SSL_REDIRECT = True
    # Asked for from within, past the proxy.
    SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$", "^metrics$"]
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    # Browsers' preload lists are for the domain's owner to decide: one cannot leave them soon.
    SILENCED_SYSTEM_CHECKS = ["security.W021"]
DEFAULT_EXCEPTION_REPORTER_FILTER = "metaaccess.crash_reports.HideValues"
X_FRAME_OPTIONS = "DENY"
# No page loads anything from elsewhere. Unfold's pages are written for Alpine, which evaluates
# the expressions in their attributes: hence 'unsafe-eval', and no inline script all the same.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'", "'unsafe-eval'"],
        "style-src": ["'self'"],
        "style-src-attr": ["'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
UNFOLD = {
    "SITE_TITLE": "MetaAccess",
    "SITE_HEADER": "MetaAccess",
    "SITE_SUBHEADER": "console.navigation.account_name",
    "SITE_SYMBOL": "shield_locked",
    "SITE_URL": None,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "STYLES": [
        lambda request: static("console/console.css"),
        lambda request: static("console/components.css"),
    ],
    "SCRIPTS": [
        lambda request: static("console/console.js"),
        lambda request: static("console/accessible.js"),
    ],
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("console/favicon.svg"),
        }
    ],
    "GLOBAL_CALLBACK": "console.navigation.global_context",
    "DASHBOARD_CALLBACK": "console.dashboard.page.context",
    "ACCOUNT": {"navigation": "console.site.links"},
    "SIDEBAR": {"navigation": "console.navigation.sections"},
    "TABS": "console.navigation.tabs",
}
# Seconds for each step: a silent mail server must not keep a worker's slot.
globals().update(
    addresses.read_mail("EMAIL_URL", "console://" if DEBUG else "smtp://localhost:25", timeout_s=10)
)
DEFAULT_FROM_EMAIL = addresses.read_sender("DEFAULT_FROM_EMAIL", "MetaAccess <no-reply@localhost>")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"away": {"()": "metaaccess.servers.database.WithoutTraceback"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {name: {"level": "INFO"} for name in ("metaaccess", "eventlog", "webhooks")}
    # It would tell each failure twice, with its address; the Admin log has them.
    | {"axes": {"level": "ERROR"}}
    # Of each connection that it cannot make; the watch (metaaccess/postgresql) tells it once.
    | {"psycopg.pool": {"level": "ERROR"}}
    | {"django.request": {"filters": ["away"]}},
}
