from django.apps import AppConfig


class EventLogConfig(AppConfig):
    name = "eventlog"
    verbose_name = "Event log"

    def ready(self) -> None:
        from eventlog import receivers  # noqa: F401, PLC0415  # connects the signal
