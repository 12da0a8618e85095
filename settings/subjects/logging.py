"""Log output: one line per record, on stderr."""

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"away": {"()": "metaaccess.servers.database.WithoutTraceback"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "metaaccess": {"level": "INFO"},
        "eventlog": {"level": "INFO"},
        "webhooks": {"level": "INFO"},
        # At lower levels it logs each failed sign-in twice, with the person's address. The Admin
        # log records them.
        "axes": {"level": "ERROR"},
        # At lower levels it logs every connection it cannot open. The watch in
        # metaaccess/servers/postgresql logs an outage once.
        "psycopg.pool": {"level": "ERROR"},
        "django.request": {"filters": ["away"]},
    },
}
