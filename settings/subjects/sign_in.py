"""How people and programs sign in: passwords, lockout, one-time codes and API tokens."""

from datetime import timedelta
from typing import Any

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

# metaaccess/people/sign_in.py describes when a person is locked out.
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
AXES_DISABLE_ACCESS_LOG = True  # the Admin log records sign-ins
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

OTP_TOTP_ISSUER = "MetaAccess"

KNOX_TOKEN_MODEL = "metaaccess.ApiToken"  # noqa: S105 - the name of a model
# Knox's migrations would create the table that metaaccess.ApiToken replaces.
MIGRATION_MODULES = {"knox": None}
REST_KNOX = {"TOKEN_TTL": None, "AUTH_HEADER_PREFIX": "Token"}
