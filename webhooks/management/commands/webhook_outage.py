from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandParser

from eventlog import record
from metaaccess.actions import Action
from metaaccess.commands import ListingCommand
from metaaccess.people.actor import current_actor
from webhooks.health import outage
from webhooks.health.outage_record import Outage

_FIELDS = (
    "began_at", "silent_since", "receivers", "accounts", "answered", "ended_at", "ended_because",
    "ended_by",
)  # fmt: skip


class Command(ListingCommand):
    help = (
        "Says whether a platform outage stands, since when and on what evidence: many unrelated "
        "receivers became unreachable at once, so their pushes wait and failures do not count. "
        "Without one, tells of the last."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--end",
            action="store_true",
            help="end it: pushes that wait go out and failures count again; the same evidence "
            "begins no other one",
        )

    def handle(self, *, end: bool, json: bool, **options: Any) -> None:
        standing = outage.standing()
        if end and standing:
            end_by_hand(standing)
        last = standing or Outage.objects.order_by("-began_at").first()
        if json:
            row = {field: getattr(last, field, None) for field in _FIELDS}
            self.print_json({"stands": last is not None and last.ended_at is None, **row})
            return
        for line in told(last):
            self.stdout.write(line)


def end_by_hand(standing: Outage) -> None:
    if outage.end(standing, Outage.EndedBecause.PERSON, by=current_actor()):
        began_at = standing.began_at
        record.administration(None, Action.OUTAGE_ENDED, "all webhooks", began_at=began_at)
    else:
        standing.refresh_from_db()  # it ended by itself meanwhile


def told(last: Outage | None) -> list[str]:
    if last is None:
        return ["No platform outage stands, and none is known."]
    evidence = (
        f"Evidence: {last.receivers:,} hosts of {last.accounts:,} accounts became unreachable from "
        f"{_time(last.silent_since)} on; {last.answered:,} other hosts answered."
    )
    if last.ended_at is None:
        return [f"A platform outage stands since {_time(last.began_at)}.", evidence]
    because = Outage.EndedBecause(last.ended_because).label
    by = f" ({last.ended_by})" if last.ended_by else ""
    return [
        "No platform outage stands.",
        f"The last one: {_time(last.began_at)} to {_time(last.ended_at)}. "
        f"It ended because {because}{by}.",
        evidence,
    ]


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
