"""`make screenshots` takes the pictures of README.md and docs/ from the running product."""

import django

django.setup()
