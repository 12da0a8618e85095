"""The web application: `gunicorn settings.wsgi`."""

import os
import sys

from django.core.wsgi import get_wsgi_application
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]

from metaaccess.servers import database
from settings.processes.charset import with_known_charsets
from settings.processes.request_body import with_whole_bodies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.base")

database.limit(database.WEB)
try:
    application = with_known_charsets(with_whole_bodies(get_wsgi_application()))
except SystemExit as wrong_setting:
    # Reached if gunicorn.conf.py was not read. With this exit code gunicorn restarts no worker.
    sys.stderr.write(f"{wrong_setting}\n")
    sys.exit(Arbiter.WORKER_BOOT_ERROR)
