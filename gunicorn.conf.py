"""How gunicorn runs the product. It reads this file by itself from the folder it starts in."""

import os

from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.base")
# A wrong setting stops gunicorn here, with its line. In a worker it would end one after the other.
settings.DEBUG  # noqa: B018

worker_class = "settings.processes.web_worker.Worker"
threads = 8
control_socket_disable = True
