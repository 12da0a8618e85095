"""The Celery application: `celery -A settings worker|beat`."""

import os
import resource
from typing import Any

from celery import Celery
from celery.signals import worker_init
from gevent import get_hub
from gevent.monkey import is_module_patched

from metaaccess.servers import database
from settings.processes import watchdog

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.base")

# gevent resolves host names in threads. This many lookups may wait for silent name servers at once.
LOOKUP_THREADS = 500

app = Celery("metaaccess")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
watchdog.install(app)
# Celery's current application is per thread; the web process publishes from many threads.
app.set_default()


@worker_init.connect
def limit_database(**kwargs: Any) -> None:
    database.limit(database.WORKER)


@worker_init.connect
def make_room(**kwargs: Any) -> None:
    """Raises the limits on open files and, under gevent, on concurrent name lookups."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if is_module_patched("socket"):
        get_hub().threadpool.maxsize = LOOKUP_THREADS
