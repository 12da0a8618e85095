"""The product's addresses."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from metaaccess.health import healthz

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("console/", admin.site.urls),
    path("healthz", healthz),
]
