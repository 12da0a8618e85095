"""The URLs below `/api/`: version 1, its OpenAPI schema, and the page that shows the schema."""

from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

from api.conventions.views import UnknownURL
from api.resources.deliveries import DeliveryViewSet
from api.resources.devices import DeviceViewSet
from api.resources.event_log import LOGS
from api.resources.get_logs import GetLogs
from api.resources.webhooks import WebhookViewSet

router = SimpleRouter(trailing_slash=False)
router.register("devices", DeviceViewSet, "device")
router.register("webhooks", WebhookViewSet, "webhook")
router.register("deliveries", DeliveryViewSet, "delivery")
for name, view in LOGS.items():
    router.register(f"event-log/{name}", view, f"{name}-log")

urlpatterns = [
    path("v1/", include(router.urls)),
    path("v1/logs", GetLogs.as_view(), name="get-logs"),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path(
        "docs/",
        SpectacularSwaggerSplitView.as_view(url_name="schema", template_name="api/docs.html"),
        name="docs",
    ),
    re_path("", UnknownURL.as_view()),
]
