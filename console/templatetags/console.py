"""`{% load console %}`: filters for times, durations and labels; alerts and breadcrumbs."""

from django import template

from console import alerts, display, places

register = template.Library()
register.filter("local_time", display.time)
register.filter("duration", display.duration)
register.filter("badge", display.badge)
register.filter("sentence", display.sentence)
register.filter("plural", display.plural)
register.simple_tag(alerts.alerts, name="alerts")
register.simple_tag(places.trail, name="trail")
