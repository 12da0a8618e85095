"""Pushes: retries, timeouts, allowed addresses, outage detection and retention."""

from metaaccess import VERSION
from settings.environment import values
from settings.environment.values import env, read, read_positive, read_whole

WEBHOOK_RETRY_COUNTDOWNS = values.read_countdowns("WEBHOOK_RETRY_COUNTDOWNS", "4,60")
WEBHOOK_DISABLE_AFTER = read_whole(
    "WEBHOOK_DISABLE_AFTER", 100, "the number of failed pushes in a row that disables a webhook"
)
WEBHOOK_TIMEOUT_S = read_positive(
    "WEBHOOK_TIMEOUT",
    10,
    "the seconds that one attempt may take, more than 0 and at most 300",
    most=300,
)
WEBHOOK_REQUIRE_HTTPS = read(env.bool, "WEBHOOK_REQUIRE_HTTPS", True, "true or false")
WEBHOOK_ALLOWED_NETWORKS = values.read_networks("WEBHOOK_ALLOWED_NETWORKS")
WEBHOOK_ALLOWED_PORTS: frozenset[int] | None = None
WEBHOOK_CA_CERTIFICATES = values.read_certificates("WEBHOOK_CA_FILE")
WEBHOOK_USER_AGENT = f"MetaAccess-Webhook/{VERSION}"

# A platform outage (docs/adr/0025) begins when this many receivers become unreachable within this
# many seconds, and they are at least this percentage of the receivers pushed to in that time.
WEBHOOK_OUTAGE_RECEIVERS = read_whole(
    "WEBHOOK_OUTAGE_RECEIVERS", 10, "a number of receivers, or 0 to detect no outage", least=0
)
WEBHOOK_OUTAGE_WITHIN_S = read_positive(
    "WEBHOOK_OUTAGE_WITHIN",
    120,
    "the seconds within which receivers become unreachable, more than 0 and at most 86,400",
    most=86_400,
)
WEBHOOK_OUTAGE_PERCENT = read_whole(
    "WEBHOOK_OUTAGE_PERCENT", 80, "a percentage from 1 to 100", most=100
)
WEBHOOK_OUTAGE_LONGEST_HOURS = read_positive(
    "WEBHOOK_OUTAGE_LONGEST",
    24,
    "the hours after which an outage ends, more than 0 and at most 8,760",
    most=8_760,
)

_DAYS = "a number of days from 1 to 36,500"
WEBHOOK_HELD_DAYS = read_whole("WEBHOOK_HELD_DAYS", 7, _DAYS, most=36_500)
EVENT_LOG_DAYS = read_whole("EVENT_LOG_DAYS", 90, _DAYS, most=36_500)
