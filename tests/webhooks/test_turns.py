"""Tasks of one webhook take turns."""

import threading

from webhooks import turns


def test_two_webhooks_do_not_wait_for_each_other() -> None:
    with turns.take(1) as first, turns.take(2) as second:
        assert (first, second) == (True, True)

    assert turns._turns == {}


def test_one_waits_and_the_others_leave() -> None:
    """While one task has the turn, three more arrive: only one of them waits and gets the next."""
    begun, go_on = threading.Event(), threading.Event()
    got: list[bool] = []

    def come(hold: bool) -> None:
        with turns.take(1) as is_mine:
            got.append(is_mine)
            if hold:
                begun.set()
                go_on.wait(10)

    holder = threading.Thread(target=come, args=(True,))
    holder.start()
    begun.wait(10)
    waiter = threading.Thread(target=come, args=(False,))
    waiter.start()
    while not turns._turns[1].is_waited_for:
        pass

    come(False)
    come(False)
    assert got == [True, False, False]
    go_on.set()
    for thread in (holder, waiter):
        thread.join(10)

    assert got == [True, False, False, True]
    assert turns._turns == {}


def test_a_turn_that_has_begun_does_not_replace_the_next_one() -> None:
    """A task that has begun may miss newer events, so the next task waits and looks again."""
    with turns.take(1):
        waits = threading.Thread(target=_take_and_leave)
        waits.start()
        while not turns._turns[1].is_waited_for:
            pass
    waits.join(10)

    assert not waits.is_alive()
    assert turns._turns == {}


def _take_and_leave() -> None:
    with turns.take(1) as is_mine:
        assert is_mine
