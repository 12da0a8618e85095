"""Apart from apps.py, where Django expects exactly one configuration."""

from django.contrib.admin.apps import AdminConfig


class ConsoleAdminConfig(AdminConfig):
    """Django's admin with the console as its site."""

    default_site = "console.site.ConsoleSite"
