"""Crash reports show where the program failed and how, but no values."""

import sys
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.http import HttpRequest
from django.test import RequestFactory
from django.views.debug import ExceptionReporter, get_default_exception_reporter_filter

# Joined at run time, since a report shows lines of the source.
CANARY = "-".join(("canary", "0123456789"))


def crash(request: HttpRequest) -> ExceptionReporter:
    api_key = harmless_name = CANARY
    try:
        raise RuntimeError(f"with {len(api_key) + len(harmless_name)} characters")
    except RuntimeError:
        return ExceptionReporter(request, *sys.exc_info())


@pytest.fixture
def request_with_secrets(settings: Any) -> HttpRequest:
    settings.REDIS_URL = f"redis://:{CANARY}@redis.example/0"
    settings.WEBHOOK_KEYS = [CANARY]
    settings.CACHES = {"default": {"LOCATION": settings.REDIS_URL}}
    return RequestFactory(
        headers={"authorization": f"Token {CANARY}", "cookie": f"sessionid={CANARY}"}
    ).post("/console/", {"api_key": CANARY, "name": CANARY})


def test_a_report_shows_no_form_variable_header_or_setting(
    request_with_secrets: HttpRequest,
) -> None:
    reporter = crash(request_with_secrets)

    for report in (reporter.get_traceback_text(), reporter.get_traceback_html()):
        assert "RuntimeError" in report
        assert CANARY not in report


def test_a_report_without_a_request_shows_no_variable(settings: Any) -> None:
    reporter = crash(None)  # type: ignore[arg-type]  # as in a management command

    assert CANARY not in reporter.get_traceback_html()


def test_a_developer_sees_variables_but_no_settings(
    request_with_secrets: HttpRequest, settings: Any
) -> None:
    settings.DEBUG = True
    get_default_exception_reporter_filter.cache_clear()  # type: ignore[attr-defined]

    html = crash(request_with_secrets).get_traceback_html()

    assert "harmless_name" in html
    assert CANARY in html
    assert f":{CANARY}@" not in html
    assert django_settings.SECRET_KEY not in html
