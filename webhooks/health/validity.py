"""The validity of a certificate."""

from datetime import datetime
from typing import NamedTuple


class Validity(NamedTuple):
    """The certificate is valid from `begins_at` until `ends_at`."""

    begins_at: datetime
    ends_at: datetime
