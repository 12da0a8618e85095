from django.http import HttpRequest, HttpResponse


def healthz(request: HttpRequest) -> HttpResponse:
    """The process is up. Says nothing of PostgreSQL or Redis, so that they cannot restart it."""
    return HttpResponse("ok\n", content_type="text/plain")
