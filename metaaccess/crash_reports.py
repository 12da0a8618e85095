"""Crash reports: they show where and how the program failed, and hide all values."""

import re
from collections.abc import ItemsView
from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter


class HideValues(SafeExceptionReporterFilter):
    """Hides form fields and variables as well: any of them may hold a secret.

    Django itself hides only values whose name suggests a secret.
    """

    hidden_settings = re.compile(
        SafeExceptionReporterFilter.hidden_settings.pattern
        + "|URL|LOCATION|DATABASES|EMAIL|^keys$",
        flags=re.IGNORECASE,
    )

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        shown: dict[str, Any] = dict(super().get_post_parameters(request))
        if request is None or not self.is_active(request):
            return shown
        return dict.fromkeys(shown, self.cleansed_substitute)

    def get_traceback_frame_variables(
        self, request: HttpRequest | None, tb_frame: FrameType
    ) -> ItemsView[str, Any]:
        if request is not None and not self.is_active(request):  # DEBUG is on
            return dict(super().get_traceback_frame_variables(request, tb_frame)).items()
        return dict.fromkeys(tb_frame.f_locals, self.cleansed_substitute).items()
