"""Django's PostgreSQL backend with bounded waits: `ENGINE = "metaaccess.postgresql"`.

`base` is the backend, `watch` finds out whether the server still answers.
"""
