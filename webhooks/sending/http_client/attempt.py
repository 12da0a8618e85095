"""One attempt on its way through requests, urllib3 and the connection."""

from webhooks.health.validity import Validity
from webhooks.sending.http_client.deadline import Deadline


class Attempt(Deadline):
    """The deadline of one attempt, and the certificate that a new connection showed (None: no new
    TLS connection was made). requests passes it down as its timeout."""

    certificate: Validity | None = None
