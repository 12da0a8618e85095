"""`make demo`: a short story, played with the real product. `devstack exec` starts its servers."""

import os

import django

# Shortened from the default of 4,60, so that the demo takes seconds.
os.environ.setdefault("WEBHOOK_RETRY_COUNTDOWNS", "0.4,1")
django.setup()
