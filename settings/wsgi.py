"""The web application: `gunicorn settings.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

from metaaccess import database

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.base")

database.limit(database.WEB)
application = get_wsgi_application()
