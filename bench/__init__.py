"""The benchmarks. `devstack exec` runs them and starts their servers (PostgreSQL with fsync)."""

import django

django.setup()
