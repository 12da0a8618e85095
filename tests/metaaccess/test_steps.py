"""Tasks that consist of independent steps."""

import pytest

from metaaccess.steps import run_each


def test_all_steps_run_after_one_raises_and_the_task_fails() -> None:
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
