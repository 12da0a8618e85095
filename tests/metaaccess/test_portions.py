"""Deleting the rows of a queryset in portions."""

from collections.abc import Iterator

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from metaaccess import portions
from metaaccess.models import RemovedDevice
from tests import interleaving
from tests.interleaving import Beside

committed = interleaving.committed


@pytest.fixture
def other() -> Iterator[Beside]:
    with interleaving.beside() as acting:
        yield acting


def make(count: int) -> None:
    RemovedDevice.objects.bulk_create(
        RemovedDevice(device_id=f"{number:016}", timestamp=number) for number in range(count)
    )


def test_each_portion_is_one_statement(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "PORTION_ROWS", 2)
    make(5)

    with CaptureQueriesContext(connection) as asked:
        assert portions.delete(RemovedDevice.objects.filter(timestamp__lt=4)) == 4

    statements = [query["sql"] for query in asked]
    assert len(statements) == 3
    assert all("LIMIT 2 FOR UPDATE SKIP LOCKED" in sql for sql in statements)
    assert RemovedDevice.objects.get().timestamp == 4


def test_locked_rows_are_left_to_the_next_run(committed: None, other: Beside) -> None:
    make(3)

    with transaction.atomic():
        RemovedDevice.objects.select_for_update().get(timestamp=1)
        deleting = other.start(lambda: portions.delete(RemovedDevice.objects.all()))
        waited = not deleting.done()

    assert (waited, deleting.result()) == (False, 2)
    assert portions.delete(RemovedDevice.objects.all()) == 1
