"""Exceptions that DRF does not have, with their HTTP status and code."""

from rest_framework import exceptions, status

CONTENT_TYPE = "application/problem+json"
NOT_FOUND = "Not found in your account."


class Conflict(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class TooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class ChangedMeanwhile(exceptions.APIException):
    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_code = "changed_meanwhile"


class KeyUsedBefore(exceptions.APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "idempotency_key_reused"


class OutOfRange(exceptions.APIException):
    """The answer of the vendor's Get Logs to a limit that is out of range."""

    status_code = status.HTTP_406_NOT_ACCEPTABLE
    default_code = "out_of_range"
