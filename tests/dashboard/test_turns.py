"""Pages are drawn one after the other, and one that waits lets the others run."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dashboard import process


def test_a_page_that_waits_lets_another_one_be_drawn():
    waits, drawn = threading.Event(), threading.Event()

    def waiting() -> bool:
        with process.turn(), process.aside():
            waits.set()
            return drawn.wait(5)

    def other() -> None:
        waits.wait(5)
        with process.turn():
            drawn.set()

    with ThreadPoolExecutor(2) as pool:
        found = pool.submit(waiting)
        pool.submit(other).result()
        assert found.result()


def test_a_page_that_is_stuck_holds_the_others_up_for_a_while_only(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "AT_MOST_S", 0.05)

    def other() -> bool:
        with process.turn():
            return True

    with ThreadPoolExecutor(1) as pool, process.turn():
        assert pool.submit(other).result(5)


def test_the_turn_is_given_back_by_a_page_that_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "AT_MOST_S", 5.0)

    def fails() -> None:
        with process.turn(), process.aside():
            raise ZeroDivisionError

    with ThreadPoolExecutor(1) as pool:
        for _ in range(3):
            assert isinstance(pool.submit(fails).exception(5), ZeroDivisionError)
    assert process._turns._value == process.N_AT_ONCE


def test_what_runs_without_a_turn_gives_none_back():
    with process.turn():
        pass
    with process.aside():  # a fragment, on the thread of an earlier script
        pass
    assert process._turns._value == process.N_AT_ONCE
