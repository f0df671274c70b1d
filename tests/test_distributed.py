"""Processes: what is refused before they meet, and what one alone does."""

import numpy as np
import pytest

from jaxprune.distributed import first_then_others, share_out, start, together
from jaxprune.errors import RequestError


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"coordinator": "host:1"}, "--num-processes and --process-id are not given"),
        ({"automatic": True, "process_id": 1}, "--coordinator and --num-processes are not given"),
        ({"coordinator": "host", "num_processes": 2, "process_id": 0}, "HOST:PORT"),
        ({"coordinator": "host:70000", "num_processes": 2, "process_id": 0}, "HOST:PORT"),
        ({"coordinator": "host:1", "num_processes": 2, "process_id": 2}, "numbered from 0 to N - 1"),
        ({"coordinator": "host:1", "num_processes": 0, "process_id": 0}, "numbered from 0 to N - 1"),
    ],
)
def test_refuses_processes_that_cannot_meet(given, message):
    nothing = {"automatic": False, "coordinator": None, "num_processes": None, "process_id": None}
    with pytest.raises(RequestError, match=message):
        start(**nothing | given)


def test_one_process_does_everything_itself():
    assert first_then_others(lambda: 3) == 3
    done = share_out([lambda i=i: {"value": np.asarray(i)} for i in range(3)])
    assert [int(result["value"]) for result in done] == [0, 1, 2]
    with pytest.raises(RequestError, match="broken"), together():
        raise RequestError("broken")
