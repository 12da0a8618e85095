"""Figures over time, as data for Chart.js and for a table."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.formats import date_format

from eventlog import tally
from eventlog.models import Ending, Tally
from eventlog.tally import Figures

# Legible on white and on black. charts.js colours the text of a chart.
GREEN, AMBER, RED, BLUE, PURPLE = "#16a34a", "#d97706", "#dc2626", "#3b82f6", "#a855f7"


class Period(NamedTuple):
    """How far back a chart goes, and how much time one bar covers. `label` is a date format."""

    key: str
    title: str
    length: timedelta
    step: timedelta
    label: str


PERIODS = (
    Period("1h", "1 hour", timedelta(hours=1), timedelta(minutes=5), "H:i"),
    Period("24h", "24 hours", timedelta(hours=24), timedelta(hours=1), "H:i"),
    Period("7d", "7 days", timedelta(days=7), timedelta(hours=6), "D j M, H:i"),
)
DEFAULT = PERIODS[1]


class Point(NamedTuple):
    """One step of a chart. `label` is its start in the user's time zone."""

    begin: datetime
    label: str
    figures: Figures


def period_of(key: str | None) -> Period:
    return next((period for period in PERIODS if period.key == key), DEFAULT)


def points(tallies: QuerySet[Tally], period: Period) -> list[Point]:
    """The steps of the period up to now, in one query. They are aligned to the user's midnight."""
    now = timezone.localtime()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    until = (midnight + ((now - midnight) // period.step + 1) * period.step).astimezone(UTC)
    steps = tally.series(tallies, until - period.length, until, period.step)
    return [Point(begin, _label(begin, period), figures) for begin, figures in steps]


def _label(moment: datetime, period: Period) -> str:
    return date_format(timezone.localtime(moment), period.label)


def outcomes(shown: Sequence[Point]) -> dict[str, str]:
    """Stacked bars of attempts by outcome: `data` and `options` for Unfold's chart component."""
    sets = (
        (Ending.DELIVERED.label, GREEN, [point.figures.delivered for point in shown]),
        (Ending.RETRYING.label, AMBER, [point.figures.retrying for point in shown]),
        (Ending.FAILED.label, RED, [point.figures.failed for point in shown]),
    )
    data = [
        {"label": label, "data": values, "backgroundColor": colour, "maxBarThickness": 28}
        for label, colour, values in sets
    ]
    return _chart(shown, data, stacked=True, title="Attempts")


def durations(shown: Sequence[Point]) -> dict[str, str]:
    """Lines of the response time: p50 and p95 in milliseconds, None for a step without attempts."""
    sets = (
        ("p50", BLUE, [point.figures.p50_ms for point in shown]),
        ("p95", PURPLE, [point.figures.p95_ms for point in shown]),
    )
    data = [
        {"label": label, "data": values, "borderColor": colour, "backgroundColor": colour,
         "borderWidth": 2, "pointRadius": 2, "spanGaps": False}
        for label, colour, values in sets
    ]  # fmt: skip
    return _chart(shown, data, stacked=False, title="Milliseconds")


def _chart(
    shown: Sequence[Point], datasets: list[dict[str, Any]], stacked: bool, title: str
) -> dict[str, str]:
    data = {"labels": [point.label for point in shown], "datasets": datasets}
    options = {
        "animation": False,
        "responsive": True,
        "maintainAspectRatio": False,
        "interaction": {"mode": "index", "intersect": False},
        "plugins": {
            "legend": {
                "position": "bottom",
                "labels": {"usePointStyle": True, "boxHeight": 7, "boxWidth": 7, "padding": 16},
            }
        },
        "scales": {
            "x": {
                "stacked": stacked,
                "grid": {"display": False},
                "ticks": {"maxTicksLimit": 8, "maxRotation": 0},
            },
            "y": {
                "stacked": stacked,
                "beginAtZero": True,
                "border": {"display": False},
                "grid": {},
                "ticks": {"maxTicksLimit": 5, "precision": 0},
                "title": {"display": True, "text": title},
            },
        },
    }
    return {"data": json.dumps(data), "options": json.dumps(options)}
