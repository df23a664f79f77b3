"""Properties that are worked out once, and for one object at a time."""

import threading
from itertools import count

from distilbert.tokenization.lazy import lazy


class Numbered:
    numbers = count()

    def __init__(self, wait=None):
        self.wait = wait

    @lazy
    def number(self):
        """What is kept."""
        if self.wait is not None:
            self.wait()
        return next(self.numbers)


def test_a_value_is_worked_out_once():
    one, other = Numbered(), Numbered()
    assert one.number == one.number
    assert one.number != other.number


def test_an_object_does_not_wait_for_another():
    begun, may_end = threading.Event(), threading.Event()

    def wait():
        begun.set()
        assert may_end.wait(20)

    slow = Numbered(wait)
    thread = threading.Thread(target=lambda: slow.number)
    thread.start()
    assert begun.wait(20)
    assert isinstance(Numbered().number, int)  # waits for ever if they share a lock
    may_end.set()
    thread.join()
