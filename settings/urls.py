"""The product's URLs."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.defaults import server_error as page_server_error
from django.views.generic import RedirectView

from api.conventions.handler import server_error
from metaaccess.servers.probes import healthz, readyz
from webhooks.operating.metrics import metrics

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("console/", admin.site.urls),
    path("api/", include("api.urls")),
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
]


def handler500(request: HttpRequest) -> HttpResponse:
    """Answers an unexpected error as a problem (API) or as a page (all other addresses)."""
    if request.path.startswith("/api/"):
        return server_error(request)
    return page_server_error(request)
