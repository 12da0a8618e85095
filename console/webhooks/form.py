"""The webhook's settings as a form. Secrets go in, and never come out again."""

from types import MappingProxyType
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from unfold.widgets import (
    CHECKBOX_CLASSES,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from console.forms import shown
from metaaccess.models import Status
from webhooks.configuration.sealing import SecretError
from webhooks.configuration.validators import (
    validate_api_key,
    validate_key_is_for,
    validate_signing_secret,
)
from webhooks.models import WebhookConfig

SECRETS = ("api_key", "signing_secret")
ADVANCED = ("events_per_push", "in_order", "signing_secret", "remove_signing_secret")
EXPLANATIONS = {
    Status.COMPLIANT: "A device meets all policies.",
    Status.NON_COMPLIANT: "A device breaks a policy: the one to act on.",
    Status.INSTALLED: "A device installed the client.",
    Status.DELETED: "An administrator deleted the device, in the console or through the API, "
    "or its user uninstalled the client.",
}
_WHOLE_NUMBER = "Enter a whole number from 1 to 500."


class EventBoxes(forms.CheckboxSelectMultiple):
    """A checkbox for each event, with what it means beside it."""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *args, **kwargs)
        option["explanation"] = EXPLANATIONS[Status(value)]
        option["attrs"]["aria-describedby"] = f"{option['attrs']['id']}_helptext"
        return option


def _secret(**kwargs: Any) -> forms.CharField:
    """A field whose value is never sent back to the browser."""
    widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password", "spellcheck": False})
    return forms.CharField(required=False, strip=False, widget=widget, **kwargs)


class WebhookForm(forms.ModelForm):  # type: ignore[type-arg]  # Django: not subscriptable
    name = forms.CharField(
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="What people call it, such as SIEM. Without a name it is shown by its URL.",
    )
    url = forms.CharField(
        label="Callback API URL",
        max_length=2048,
        widget=UnfoldAdminTextInputWidget(
            attrs={"inputmode": "url", "spellcheck": "false", "autocomplete": "off"}
        ),
        help_text="Where pushes go, such as https://siem.example.com/metaaccess.",
        error_messages={
            "required": "Enter the URL that pushes go to, such as "
            "https://siem.example.com/metaaccess.",
            "max_length": "The URL has %(show_value)d characters. Use at most %(limit_value)d.",
        },
    )
    api_key = _secret(
        label="API key",
        validators=[validate_api_key],
        help_text="Sent as the Authorization header, exactly as entered.",
        error_messages={"required": "Enter the API key that the receiver expects."},
    )
    events = forms.MultipleChoiceField(
        choices=Status.choices,
        widget=EventBoxes(attrs={"class": " ".join(CHECKBOX_CLASSES)}),
        initial=list(Status),
        help_text="Which status changes are pushed.",
        error_messages={"required": "Choose at least one event: without any, nothing is pushed."},
    )
    enabled = forms.BooleanField(
        required=False,
        initial=True,
        widget=UnfoldBooleanWidget,
        help_text="While it is disabled, events are held, and are sent when it is enabled again.",
    )
    events_per_push = forms.IntegerField(
        label="Events per push",
        min_value=1,
        max_value=500,
        initial=1,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="How many waiting events one push may carry, from 1 to 500. A push is a JSON "
        "list, whatever the number.",
        error_messages=dict.fromkeys(
            ("required", "invalid", "min_value", "max_value"), _WHOLE_NUMBER
        ),
    )
    in_order = forms.BooleanField(
        label="In order",
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="Nothing overtakes: one push at a time, and the next when it has ended, with "
        "its retries. Slower, and one push that fails holds up all others.",
    )
    signing_secret = _secret(
        label="Signing secret",
        validators=[validate_signing_secret],
        help_text="Pushes are then signed as Standard Webhooks describes: the receiver can check "
        "that they come from here and were not changed. It begins with whsec_. When it is "
        "replaced, both sign for 24 hours: tell the receiver meanwhile.",
    )
    remove_signing_secret = forms.BooleanField(
        label="Remove the signing secret",
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="Pushes are then no longer signed, with one that was replaced neither.",
    )

    # For console/forms/guarded.py.
    live = ("enabled",)
    logged_as = MappingProxyType({"remove_signing_secret": "signing_secret"})

    class Meta:
        model = WebhookConfig
        fields = ("account", "name", "url", "events", "events_per_push", "in_order")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "account" in self.fields:
            self.fields["account"].error_messages["invalid_choice"] = (
                "Choose an account on the Enterprise plan."
            )
        if self.instance.pk:
            self.initial["enabled"] = self.instance.enabled
        else:
            self.fields["api_key"].required = True
        if not self.instance.signing_secret_hint:
            del self.fields["remove_signing_secret"]

    def secret_digests(self) -> dict[str, str]:
        """One that does not open, for its key is missing, is as good as none."""
        digests: dict[str, str] = {}
        for name in SECRETS:
            try:
                digests[name] = shown.digest(getattr(self.instance, name))
            except SecretError:
                digests[name] = ""
        return digests

    @property
    def advanced_is_open(self) -> bool:
        """Where something is wrong, what was entered there is to be seen."""
        entered = self.changed_data if self.errors else ()
        return any(name in self.errors or name in entered for name in ADVANCED)

    @property
    def lost_secrets(self) -> list[str]:
        """Secrets that were entered into a form that is shown again, without them."""
        if not self.errors:
            return []
        return [name for name in SECRETS if self.data.get(self.add_prefix(name))]

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        if self.instance.pk and not values.get("api_key") and "api_key" not in self.errors:
            try:
                validate_key_is_for(values.get("url", self.instance.url), self.instance.url)
            except ValidationError as problem:
                self.add_error("api_key", problem)
        if values.get("signing_secret") and values.get("remove_signing_secret"):
            self.add_error(
                "remove_signing_secret",
                "A new signing secret was entered, too. Leave one of the two.",
            )
        return values

    def _update_errors(self, errors: ValidationError) -> None:
        """What is wrong with the account stands above the form where it is not a field of it."""
        by_field = getattr(errors, "error_dict", {})
        if "account" in by_field and "account" not in self.fields:
            by_field.setdefault(NON_FIELD_ERRORS, []).extend(by_field.pop("account"))
        super()._update_errors(errors)  # type: ignore[misc]  # Django's own hook

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # Django's own hook: the instance is built here
        for name in SECRETS:
            if self.cleaned_data.get(name) and not self.errors:
                setattr(self.instance, name, self.cleaned_data[name])
        if self.cleaned_data.get("remove_signing_secret") and not self.errors:
            del self.instance.signing_secret
