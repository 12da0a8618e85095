"""Django's PostgreSQL backend with bounded waits: `ENGINE = "metaaccess.servers.postgresql"`.

`base` is the backend. `watch` finds out whether the server still responds.
"""
