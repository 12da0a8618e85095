"""Inventory > Devices."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString

from console import display
from console.base import AccountAdmin, hide_account
from console.devices import page
from console.event_log import labels
from console.forms import shown
from console.forms.guarded import Conflict
from metaaccess.actions import Action
from metaaccess.devices.change import NewStatus
from metaaccess.devices.status import SETTABLE
from metaaccess.models import Device, Status

# The parameter of the status buttons on a device's page, which stand apart from its form.
NEW_STATUS = "_status"


@admin.register(Device)
class DevicesAdmin(AccountAdmin):
    action_added = Action.DEVICE_CREATED
    action_changed = Action.DEVICE_CHANGED
    action_deleted = Action.DEVICE_DELETED
    list_display = ("device_id", "name", "os", "status_in_colour", "changed_at", "account")
    list_filter = ("account",)
    linked_lookups = ("status__exact",)
    actions = ("delete_selected",)
    change_list_template = "console/devices/list.html"
    change_form_template = "console/devices/device.html"
    delete_words = {
        "question": "Delete this device?",
        "consequence": "The deletion is pushed to webhooks that subscribe to it. The device’s "
        "history stays in the event log.",
        "yes": "Delete device",
    }
    search_fields = ("device_id", "name")
    search_help_text = "Device ID or name"
    ordering = ("-status_changed_at", "-pk")
    show_full_result_count = True

    class Media:
        css = {"all": ("console/webhooks.css", "console/overview.css")}

    # --- The list ---

    def get_queryset(self, request: HttpRequest) -> QuerySet[Device]:
        rows: QuerySet[Device] = super().get_queryset(request)
        return rows.select_related("account")

    @admin.display(description="status", ordering="status")
    def status_in_colour(self, device: Device) -> SafeString:
        return display.badge(labels.status(device.status))

    @admin.display(description="changed", ordering="status_changed_at")
    def changed_at(self, device: Device) -> str:
        return display.time(device.status_changed_at)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        answer: HttpResponse = super().changelist_view(request, extra_context)
        context = getattr(answer, "context_data", {})
        if shown := context.get("cl"):
            context["statuses"] = self._statuses(request, shown)
        return answer

    def _statuses(self, request: HttpRequest, shown: Any) -> list[dict[str, Any]]:
        """The status filter as links. They show counts only if no other filter is active."""
        chosen, counts = request.GET.get("status__exact"), None
        if not shown.query and not shown.has_active_filters:
            by_status = self.get_queryset(request).order_by().values_list("status")
            counts = dict(by_status.annotate(count=Count("pk")))
        found = [
            {
                "label": status.label,
                "query": shown.get_query_string({"status__exact": str(status)}, ["p"]),
                "count": None if counts is None else counts.get(status, 0),
                "chosen": status == chosen,
            }
            for status in SETTABLE
        ]
        every = {
            "label": "All",
            "query": shown.get_query_string(remove=["status__exact", "p"]),
            "count": None if counts is None else sum(counts.values()),
            "chosen": chosen is None,
        }
        return [every, *found]

    # --- A device ---

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return [(None, {"fields": ("account", "device_id", "name", "os")})]
        return [("Details", {"fields": ("name", "os")})]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        hide_account(form, request)
        return form

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method == "POST" and NEW_STATUS in request.POST:
            return self._change_status(request, object_id)
        answer: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
        return answer

    def state_of(self, row: Any) -> shown.Values:
        return {"status": row.status}

    def state_conflicts(self, row: Any, before: shown.Values) -> list[Conflict]:
        return page.state_conflicts(row, before)

    def as_shown(self, row: Any) -> shown.Values:
        return {"name": row.name, "os": row.os}

    def _change_status(self, request: HttpRequest, object_id: str) -> HttpResponse:
        device = self.get_object(request, unquote(object_id))
        if not self.has_change_permission(request, device):
            raise PermissionDenied
        if device is None:
            return self._gone(request, object_id)
        new = request.POST[NEW_STATUS]
        if new not in SETTABLE:
            choices = ", ".join(status.label for status in SETTABLE)
            messages.error(request, f"{new!r} cannot be set. Choose one of: {choices}.")
        elif shown.changed(request, device, self.state_of(device)):
            messages.error(request, page.changed_meanwhile(device))
        else:
            outcome = Device.objects.change([NewStatus(device.device_id, new)])
            if outcome.unknown:  # deleted after it was looked up
                return self._gone(request, object_id)
            self._tell(request, device, new, changed=bool(outcome.changed))
        return HttpResponseRedirect(reverse("admin:metaaccess_device_change", args=[device.pk]))

    def _gone(self, request: HttpRequest, object_id: str) -> HttpResponse:
        gone: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        return gone

    def _tell(self, request: HttpRequest, device: Device, new: str, changed: bool) -> None:
        label = Status(new).label.lower()
        if changed:
            told = page.who_is_told(device, new)
            messages.success(request, f"{device} is now {label}. {told}")
        else:
            messages.info(request, f"{device} was already {label}. Nothing is pushed.")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        device = context["original"]
        context |= {"show_save_and_continue": False, "show_save_and_add_another": False}
        if device is not None:
            context |= page.context(request, device)
            context["may_change"] = self.has_change_permission(request, device)
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    def response_add(self, request: HttpRequest, obj: Any, *args: Any) -> HttpResponse:
        told = page.who_is_told(obj, Status.INSTALLED)
        messages.success(request, f"{obj} was added with the status installed. {told}")
        return HttpResponseRedirect(reverse("admin:metaaccess_device_change", args=[obj.pk]))
