"""Work on a thread of its own: in order, one at a time, its errors not lost."""

import contextlib
import functools
import threading

import jax
import pytest

from jaxprune.errors import RequestError
from jaxprune.jobs import write_behind
from jaxprune.jobs.write_behind import WriteBehind


@pytest.mark.parametrize("processes", [1, 2])
def test_work_is_done_elsewhere_in_order_and_then_what_follows(monkeypatch, processes):
    # Of several, what follows is for when all have done their work: the caller's thread asks them.
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    monkeypatch.setattr(write_behind, "together", contextlib.nullcontext)
    told = []

    def tell(what, number):
        told.append((what, number, threading.current_thread() is threading.main_thread()))

    with WriteBehind() as behind:
        for number in range(3):
            behind.start(functools.partial(tell, "work", number), functools.partial(tell, "then", number))
        behind.finish()
        behind.finish()
    here = processes > 1
    assert told == [
        (what, number, is_here) for number in range(3) for what, is_here in (("work", False), ("then", here))
    ]


def test_the_next_piece_waits_for_the_one_before():
    may_end, told = threading.Event(), []
    with WriteBehind() as behind:
        behind.start(lambda: told.append(may_end.wait(10)))
        threading.Timer(0.05, may_end.set).start()
        behind.start(lambda: told.append("next"))
        behind.finish()
    assert told == [True, "next"]


def test_what_goes_wrong_is_raised_when_the_next_comes():
    def fail():
        raise RequestError("the disk is full")

    told = []
    with WriteBehind() as behind:
        behind.start(fail, lambda: told.append("then"))
        with pytest.raises(RequestError, match="the disk is full"):
            behind.start(lambda: told.append("next"))
    assert told == []


def test_after_another_error_what_had_begun_is_done():
    told = []

    def write_and_fail():
        with WriteBehind() as behind:
            behind.start(lambda: told.append("written"), lambda: told.append("told"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert told == ["written", "told"]
