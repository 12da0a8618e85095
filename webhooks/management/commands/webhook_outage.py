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
        "Shows the current platform outage, or the last one, with its times and its evidence. "
        "In a platform outage, many unrelated receivers became unreachable at once. Their pushes "
        "wait, and their failures do not count."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--end",
            action="store_true",
            help="end it: waiting pushes are sent, and failures count again; the same evidence "
            "does not begin another outage",
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
        return ["There is no platform outage, and none is on record."]
    evidence = (
        f"Evidence: from {_time(last.silent_since)} on, {last.receivers:,} hosts of "
        f"{last.accounts:,} accounts became unreachable; {last.answered:,} other hosts answered."
    )
    if last.ended_at is None:
        return [f"A platform outage began at {_time(last.began_at)} and has not ended.", evidence]
    because = Outage.EndedBecause(last.ended_because).label
    by = f" ({last.ended_by})" if last.ended_by else ""
    return [
        "There is no platform outage.",
        f"The last one lasted from {_time(last.began_at)} to {_time(last.ended_at)}. "
        f"It ended because {because}{by}.",
        evidence,
    ]


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
