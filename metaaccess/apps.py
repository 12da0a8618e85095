from django.apps import AppConfig


class MetaAccessConfig(AppConfig):
    name = "metaaccess"
    verbose_name = "Inventory and accounts"
