"""In a module of its own: Django looks through apps.py for the one configuration of the app."""

from django.contrib.admin.apps import AdminConfig


class ConsoleAdminConfig(AdminConfig):
    """Django's admin, with our site in the place of its own."""

    default_site = "console.site.ConsoleSite"
