"""Where Django's admin looks for pages: each module here registers its own."""

from console import accounts, devices, event_log, tokens, webhooks  # noqa: F401
