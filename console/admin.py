"""Where Django's admin looks for pages: each module here registers its own."""

from django.contrib import admin
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

import console.devices.admin
import console.event_log
import console.people.accounts
import console.people.tokens
import console.webhooks.admin  # noqa: F401

admin.site.unregister([TOTPDevice, StaticDevice])  # each person has a page for the own ones
