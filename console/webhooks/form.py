"""The form of a webhook's settings. Secrets can be entered, and are never shown again."""

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
    Status.NON_COMPLIANT: "A device violates a policy and needs attention.",
    Status.INSTALLED: "A device installed the client.",
    Status.DELETED: "An administrator deleted the device in the console or through the API, "
    "or its user uninstalled the client.",
}
_WHOLE_NUMBER = "Enter a whole number from 1 to 500."


class EventBoxes(forms.CheckboxSelectMultiple):
    """A checkbox for each event, with an explanation next to it."""

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
        help_text="For example: SIEM. A webhook without a name is listed by its URL.",
    )
    url = forms.CharField(
        label="Callback API URL",
        max_length=2048,
        widget=UnfoldAdminTextInputWidget(
            attrs={"inputmode": "url", "spellcheck": "false", "autocomplete": "off"}
        ),
        help_text="Where pushes are sent, for example https://siem.example.com/metaaccess.",
        error_messages={
            "required": "Enter the URL that pushes are sent to, for example "
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
        help_text="The status changes to push.",
        error_messages={"required": "Choose at least one event."},
    )
    enabled = forms.BooleanField(
        required=False,
        initial=True,
        widget=UnfoldBooleanWidget,
        help_text="While the webhook is disabled, its events are held. They are sent when it is "
        "enabled again.",
    )
    events_per_push = forms.IntegerField(
        label="Events per push",
        min_value=1,
        max_value=500,
        initial=1,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="The most events that one push may carry, from 1 to 500. The body is always a "
        "JSON array, even for one event.",
        error_messages=dict.fromkeys(
            ("required", "invalid", "min_value", "max_value"), _WHOLE_NUMBER
        ),
    )
    in_order = forms.BooleanField(
        label="In order",
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="Send one push at a time. The next one waits until this one, with its retries, "
        "has ended. This is slower, and a failing push delays all others.",
    )
    signing_secret = _secret(
        label="Signing secret",
        validators=[validate_signing_secret],
        help_text="Signs pushes as specified by Standard Webhooks, so that the receiver can verify "
        "who sent them and that nothing was changed. Starts with whsec_. After you replace it, "
        "both secrets sign for 24 hours: update the receiver within that time.",
    )
    remove_signing_secret = forms.BooleanField(
        label="Remove the signing secret",
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="Pushes will no longer be signed. A secret that is being phased out stops "
        "signing too.",
    )

    # Read by console/forms/guarded.py.
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
        """A digest of each secret. Empty if there is none, or if its encryption key is missing."""
        digests: dict[str, str] = {}
        for name in SECRETS:
            try:
                digests[name] = shown.digest(getattr(self.instance, name))
            except SecretError:
                digests[name] = ""
        return digests

    @property
    def advanced_is_open(self) -> bool:
        """Whether to show the advanced fields: the form has errors, and one of these fields was
        changed or has an error."""
        entered = self.changed_data if self.errors else ()
        return any(name in self.errors or name in entered for name in ADVANCED)

    @property
    def lost_secrets(self) -> list[str]:
        """The secrets to enter again: the form has errors and is shown without them."""
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
                "Either enter a new signing secret or remove the present one, not both.",
            )
        return values

    def _update_errors(self, errors: ValidationError) -> None:
        """Shows errors of the account above the form if the account is not one of its fields."""
        by_field = getattr(errors, "error_dict", {})
        if "account" in by_field and "account" not in self.fields:
            by_field.setdefault(NON_FIELD_ERRORS, []).extend(by_field.pop("account"))
        super()._update_errors(errors)  # type: ignore[misc]  # Django's own hook

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # Django's own hook, which builds the instance
        for name in SECRETS:
            if self.cleaned_data.get(name) and not self.errors:
                setattr(self.instance, name, self.cleaned_data[name])
        if self.cleaned_data.get("remove_signing_secret") and not self.errors:
            del self.instance.signing_secret
