"""No interleaving of people, workers, sweep and retention loses or reorders events."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.webhooks.outbox_machine import machine


def run(examples: int) -> None:
    with machine() as ready:
        run_state_machine_as_test(
            ready,
            settings=settings(
                max_examples=examples,
                stateful_step_count=50,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
                print_blob=True,
            ),
        )


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True)
def test_nothing_is_lost_in_any_order_of_events() -> None:
    run(4)


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.django_db(transaction=True)
def test_nothing_is_lost_in_many_orders_of_events() -> None:
    run(40)
