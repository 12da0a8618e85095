"""`make demo`: a story told with the real parts. `devstack exec` gives it its servers."""

import os

import django

# In earnest they are 4,60: nobody would watch that.
os.environ.setdefault("WEBHOOK_RETRY_COUNTDOWNS", "0.4,1")
django.setup()
