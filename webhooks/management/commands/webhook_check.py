from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from metaaccess.commands import ListingCommand
from metaaccess.servers.clock import database_now
from webhooks.management.times import parse_time
from webhooks.operating import conservation


class Command(ListingCommand):
    help = (
        "Checks that no event was lost: status changes × subscriptions = delivered + failed + held "
        "+ discarded + in progress. Lists events that do not add up; the exit code is then 1."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--since", help="check events from this time, such as 2026-03-01T14:00 (a day ago)"
        )
        parser.add_argument("--until", help="check events before this time (now)")
        parser.add_argument(
            "--repair",
            action="store_true",
            help="queue missing events and wake webhooks with stuck ones, then check",
        )

    def handle(
        self, *, since: str | None, until: str | None, repair: bool, json: bool, **options: Any
    ) -> None:
        last = parse_time(until) if until else database_now()
        first = parse_time(since) if since else _a_day_before(last)
        if first >= last:
            raise CommandError(f"--since {since or first} is not before --until {until or 'now'}")
        try:
            repaired = conservation.repair(first, last) if repair else 0
            report = conservation.check(first, last)
        except conservation.TooSlowError as problem:
            raise CommandError(str(problem)) from None
        if json:
            cases = [case._asdict() for case in report.cases]
            told = {**report.fates, **report.counts, "repaired": repaired, "cases": cases}
            self.print_json(told)
        else:
            if report.since > first:
                self.stdout.write(
                    f"Starts at {report.since:%Y-%m-%d %H:%M} UTC: older rows expire."
                )
            self._tell(report, repaired)
        if not report.adds_up:
            raise SystemExit(1)

    def _tell(self, report: conservation.Report, repaired: int) -> None:
        expected = sum(report.fates.values()) + report.counts["missing"]
        fates = " + ".join(f"{count:,} {name}" for name, count in report.fates.items())
        self.stdout.write(f"{expected:,} expected = {fates}".replace("_", " "))
        if repaired:
            self.stdout.write(f"Missing events queued now: {repaired:,}")
        if report.adds_up:
            self.stdout.write("It adds up.")
            return
        wrong = ", ".join(f"{count:,} {name}" for name, count in report.counts.items() if count)
        self.print_rows([case._asdict() for case in report.cases], False, "")
        self.stdout.write(f"It does not add up: {wrong}.")


def _a_day_before(time: datetime) -> datetime:
    try:
        return time - timedelta(days=1)
    except OverflowError:  # in the year 1
        return time
