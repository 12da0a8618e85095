"""Device IDs: how they are generated and validated."""

import secrets
import string

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator

# Test pushes carry this ID. No account can have such a device, so receivers recognise a test by it.
TEST_DEVICE_ID = "TEST000000000000"

_ALPHABET = string.ascii_uppercase + string.digits


def new_device_id() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(16))


def validate_not_the_test_device(device_id: str) -> None:
    if device_id == TEST_DEVICE_ID:
        raise ValidationError(
            f"{TEST_DEVICE_ID} is reserved for test pushes: choose another ID.", code="reserved"
        )


VALIDATORS = (
    RegexValidator(
        r"\A[A-Z0-9]{16}\Z",
        "%(value)r is not a device ID: enter 16 characters from A–Z and 0–9, "
        "such as 6WXJURV8QAM0I7KC.",
        code="invalid_device_id",
    ),
    validate_not_the_test_device,
)
