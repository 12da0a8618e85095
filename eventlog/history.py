"""Who last changed a setting, as the Admin log has it."""

from django.db.models import Model

from eventlog.models import AdminLog


def last_change(of: Model, field: str) -> AdminLog | None:
    """The newest row that tells of a change of the field; None: no row does."""
    rows = AdminLog.objects.filter(
        object_type=of._meta.label_lower,
        object_id=of.pk,
        facts__changes__contains=[{"field": field}],
    )
    return rows.order_by("-time", "-id").first()
