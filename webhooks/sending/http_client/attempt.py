"""One attempt on its way through requests, urllib3 and the connection."""

from webhooks.health.validity import Validity
from webhooks.sending.http_client.deadline import Deadline


class AttemptDeadline(Deadline):
    """The deadline of an attempt under way, and the certificate that a new connection showed. None:
    no new TLS connection was made. requests passes it down as its timeout."""

    certificate: Validity | None = None
