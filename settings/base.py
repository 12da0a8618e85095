"""All settings, gathered from `settings/subjects/`, one file for each subject.

Each setting is read once from the environment. README.md lists the variables.
"""
# ruff: noqa: F403 - Django takes every name in capitals from this module.

from settings.subjects.api import *
from settings.subjects.applications import *
from settings.subjects.celery_options import *
from settings.subjects.console import *
from settings.subjects.database import *
from settings.subjects.deployment import *
from settings.subjects.logging import *
from settings.subjects.mail import *
from settings.subjects.security import *
from settings.subjects.sign_in import *
from settings.subjects.web import *
from settings.subjects.webhooks import *
