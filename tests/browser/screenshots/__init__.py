"""`make screenshots`: the pictures of README.md and docs/, taken from the running product."""

import django

django.setup()
