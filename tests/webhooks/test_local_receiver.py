"""The local receiver names the reason for each refusal."""

from http.client import HTTPConnection

import pytest

from webhooks.operating.local_receiver import Behaviour, LocalReceiver


def post(receiver: LocalReceiver, **headers: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", receiver.server_address[1], timeout=10)
    try:
        connection.request("POST", "/", b"[]", headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(("headers", "reason"), [
    ({}, "no Authorization header"),
    ({"Authorization": "other"}, "wrong API key"),
    ({"Authorization": "Bearer my-key"}, "wrong API key"),
    ({"Authorization": ""}, "wrong API key"),
])  # fmt: skip
def test_another_key_is_named(headers: dict[str, str], reason: str) -> None:
    with LocalReceiver(behaviour=Behaviour(api_key="my-key")) as receiver:
        assert post(receiver, **headers) == (401, reason)
        assert receiver.received[0].reason == reason


def test_a_status_that_was_ordered_is_named() -> None:
    with LocalReceiver(behaviour=Behaviour(status=500, api_key="my-key")) as receiver:
        assert post(receiver, Authorization="my-key") == (500, "configured to answer 500")


def test_the_first_requests_fail_and_the_rest_do_not() -> None:
    with LocalReceiver(behaviour=Behaviour(fail_first=1)) as receiver:
        assert post(receiver) == (503, "configured to fail the first requests")
        assert post(receiver) == (200, '{"received": true}')
        assert [received.reason for received in receiver.received] == [
            "configured to fail the first requests", "",
        ]  # fmt: skip


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_none(status: int) -> None:
    """On a kept connection, the client would read a body as the next response."""
    with LocalReceiver(behaviour=Behaviour(status=status)) as receiver:
        connection = HTTPConnection("127.0.0.1", receiver.server_address[1], timeout=10)
        for _ in range(2):
            connection.request("POST", "/", b"[]")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (status, b"")
        connection.close()
