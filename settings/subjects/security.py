"""Cookies, TLS, security headers, and crash reports without values."""

from settings.subjects.deployment import PUBLIC_URL

_IS_HTTPS = PUBLIC_URL.startswith("https://")

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _IS_HTTPS
if _IS_HTTPS:  # a proxy terminates TLS and sets this header itself
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    # Browsers let no other host, and no page without TLS, set a cookie with this prefix.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
    SECURE_SSL_REDIRECT = True
    # Monitoring inside the network requests these directly, not through the proxy.
    SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$", "^metrics$"]
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    # Joining the browsers' preload lists is for the owner of the domain to decide: leaving them
    # takes months.
    SILENCED_SYSTEM_CHECKS = ["security.W021"]

X_FRAME_OPTIONS = "DENY"
# No page loads anything from another host. Unfold's pages use Alpine, which evaluates the
# expressions in their attributes: that needs 'unsafe-eval', but no inline script.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'", "'unsafe-eval'"],
        "style-src": ["'self'"],
        "style-src-attr": ["'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
DEFAULT_EXCEPTION_REPORTER_FILTER = "metaaccess.crash_reports.HideValues"
