"""Which device IDs there may be."""

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator

# The device of test pushes: no account has it, so receivers can tell a test by it.
TEST_DEVICE_ID = "TEST000000000000"


def validate_not_the_test_device(device_id: str) -> None:
    if device_id == TEST_DEVICE_ID:
        raise ValidationError(
            f"{TEST_DEVICE_ID} is the device of test pushes: choose another ID.", code="reserved"
        )


VALIDATORS = (
    RegexValidator(
        r"\A[A-Z0-9]{16}\Z",
        "%(value)r is not a device ID: it takes 16 characters from A–Z and 0–9, "
        "such as 6WXJURV8QAM0I7KC.",
        code="invalid_device_id",
    ),
    validate_not_the_test_device,
)
