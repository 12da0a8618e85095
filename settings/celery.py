"""The Celery application: `celery -A settings worker|beat`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.base")

app = Celery("metaaccess")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# "Current" is per thread in Celery; the web's threads publish too.
app.set_default()
