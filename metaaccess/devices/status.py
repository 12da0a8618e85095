"""The statuses of a device."""

from django.db import models


class Status(models.TextChoices):
    """The list of statuses. Subscriptions and the API derive from it."""

    COMPLIANT = "compliant", "Compliant"
    NON_COMPLIANT = "non_compliant", "Non-compliant"
    INSTALLED = "installed", "Installed"
    DELETED = "deleted", "Deleted"


# The statuses that a report can set. A device becomes `deleted` only by being removed.
SETTABLE = (Status.COMPLIANT, Status.NON_COMPLIANT, Status.INSTALLED)
