"""Tasks of several steps."""

import pytest

from metaaccess.steps import run_each


def test_a_step_that_raises_keeps_no_other_from_its_turn_and_the_task_still_fails() -> None:
    done: list[str] = []

    def fail(word: str) -> None:
        raise ValueError(word)

    with pytest.raises(ValueError, match="first"):
        run_each(
            lambda: done.append("a"),
            lambda: fail("first"),
            lambda: done.append("b"),
            lambda: fail("second"),
        )

    assert done == ["a", "b"]
