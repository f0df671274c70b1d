"""``python -m tests.held MODULE FUNCTION CALL MARK WORDS...``: ``jaxprune WORDS``, stopped where a test wants it.

When the function (or ``Class.method``) is called for the CALL-th time, the file MARK is made, and the process goes on
when that is gone: a test that kills a process in the middle of its work must not depend on which of the two is faster.
"""

import functools
import importlib
import itertools
import operator
import runpy
import sys
import time
from pathlib import Path


def hold(module: str, function: str, call: int, mark: Path) -> None:
    """Replaces the function by one that waits before that call."""
    place = importlib.import_module(module)
    *owner, name = function.split(".")
    if owner:
        place = operator.attrgetter(".".join(owner))(place)
    original, calls = getattr(place, name), itertools.count(1)

    @functools.wraps(original)
    def held(*args, **kwargs):
        if next(calls) == call:
            mark.touch()
            while mark.exists():
                time.sleep(0.01)
        return original(*args, **kwargs)

    setattr(place, name, held)


if __name__ == "__main__":
    _, module, function, call, mark, *words = sys.argv
    hold(module, function, int(call), Path(mark))
    sys.argv = ["jaxprune", *words]
    runpy.run_module("jaxprune", run_name="__main__")
