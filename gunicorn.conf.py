"""gunicorn's settings. gunicorn reads this file from the folder in which it is started."""

import os

from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.base")
# Reads the settings here, so that a wrong one stops gunicorn with one line. Otherwise it would stop
# one worker after another.
settings.DEBUG  # noqa: B018

worker_class = "settings.processes.web_worker.Worker"
threads = 8
control_socket_disable = True
