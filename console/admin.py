"""Where Django's admin looks for pages: each module here registers its own."""

from console import accounts, event_log, webhooks  # noqa: F401
