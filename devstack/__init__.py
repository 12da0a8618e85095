"""A private PostgreSQL and Redis for `make run`, `make test` and `make bench`: see README.md."""


class DevstackError(RuntimeError):
    """An error to show to the person who typed the command, without a traceback."""
