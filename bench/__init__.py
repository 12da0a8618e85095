"""The benchmarks. Run by `devstack exec`, which gives the servers (PostgreSQL with fsync)."""

import django

django.setup()
