"""Processes: what is refused before they meet, and what one alone does."""

import jax
import numpy as np
import pytest

from jaxprune import distributed
from jaxprune.disk import OutOfRoomError
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


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (jax.errors.JaxRuntimeError("UNAVAILABLE: connection reset by peer"), "without the others"),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"), "with an error"),
        (KeyError("block"), "with an error"),
    ],
)
def test_a_process_that_fails_by_itself_does_not_say_that_another_is_gone(monkeypatch, capsys, error, ended):
    def end(how):
        def told(index, reason):
            raise SystemExit(f"{how}: {index}, {reason}")

        return told

    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(distributed, "end_without_the_others", end("without the others"))
    monkeypatch.setattr(distributed, "end_with_an_error", end("with an error"))
    with pytest.raises(SystemExit, match=f"^{ended}: 0, .*{str(error)[:8]}"):
        distributed.leave(error)
    assert (type(error).__name__ in capsys.readouterr().err) == (ended == "with an error")


def test_a_full_disk_is_one_in_all_processes(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(distributed, "_gather", lambda mine: [mine, b"!the disk is full."])
    with pytest.raises(OutOfRoomError, match=r"^process 1: the disk is full"), distributed.together():
        pass
    monkeypatch.setattr(distributed, "_gather", lambda mine: [mine, b""])
    with pytest.raises(OutOfRoomError, match=r"^mine$"), distributed.together():
        raise OutOfRoomError("mine")
    with pytest.raises(distributed.SharedError, match=r"^bad$") as caught, distributed.together():
        raise RequestError("bad")
    assert not isinstance(caught.value, OutOfRoomError)
