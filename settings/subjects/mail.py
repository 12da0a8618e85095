"""Outgoing mail."""

from settings.environment.addresses import read_mail, read_sender
from settings.subjects.deployment import DEBUG

# The timeout applies to each step, so that a silent mail server does not block a worker's slot.
_mail = read_mail("EMAIL_URL", "console://" if DEBUG else "smtp://localhost:25", timeout_s=10)
EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
EMAIL_HOST = _mail["EMAIL_HOST"]
EMAIL_PORT = _mail["EMAIL_PORT"]
EMAIL_HOST_USER = _mail["EMAIL_HOST_USER"]
EMAIL_HOST_PASSWORD = _mail["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS = _mail["EMAIL_USE_TLS"]
EMAIL_USE_SSL = _mail["EMAIL_USE_SSL"]
EMAIL_TIMEOUT = _mail["EMAIL_TIMEOUT"]
EMAIL_FILE_PATH = _mail["EMAIL_FILE_PATH"]
DEFAULT_FROM_EMAIL = read_sender("DEFAULT_FROM_EMAIL", "MetaAccess <no-reply@localhost>")
