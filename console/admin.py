"""Django's admin looks for pages here. Each module imported below registers its own."""

from django.contrib import admin
from django.contrib.auth.models import Group
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

import console.devices.admin
import console.event_log.admin_log
import console.event_log.device_log
import console.event_log.webhook_log
import console.people.accounts
import console.people.tokens
import console.people.users
import console.webhooks.admin  # noqa: F401

admin.site.unregister(Group)  # users have roles instead
admin.site.unregister([TOTPDevice, StaticDevice])  # users manage their own at Your sign-in
