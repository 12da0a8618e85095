from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "webhooks"
    verbose_name = "Webhooks"

    def ready(self) -> None:
        # Both register themselves.
        from webhooks import receivers  # noqa: F401, PLC0415
        from webhooks.configuration import checks  # noqa: F401, PLC0415
