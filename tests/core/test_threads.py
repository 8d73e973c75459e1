"""Objects that are put back as they were, and when they are not."""

import sys

import pytest

from expunge.core.threads import whole


class Held:
    value = 0


def test_what_is_done_is_not_undone_when_an_interrupt_is_let_go_of():
    """It comes as the block is left; its traceback holds on to the block, as long as somebody looks at it."""
    held = Held()

    def interrupted(frame, event, arg):
        if event == "call" and frame.f_code.co_name == "__exit__":
            sys.settrace(None)
            raise KeyboardInterrupt
        return interrupted

    def change():
        with whole(held):
            held.value = 1

    before = sys.gettrace()
    sys.settrace(interrupted)
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            change()
    finally:
        sys.settrace(before)
    held.value = 2
    del caught
    assert held.value == 2
