"""Several processes that work on one model: how they find each other, share work out, wait, and fail together.

Alone, a process is the first and only one, and nothing here costs anything.
"""

import atexit
import contextlib
import io
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax._src import distributed  # nothing public tells the coordinator's address that was detected
from jax.experimental import multihost_utils

from jaxprune.disk import OutOfRoomError
from jaxprune.errors import RequestError
from jaxprune.lifeline import Lifeline, end_with_an_error, end_without_the_others, stop_watching

# A process that has died is missed after this time; what it was needed for fails in the others then at the latest.
_HEARTBEAT_SECONDS = 30

# Between the moments at which processes find the same thing wrong.
_GRACE_SECONDS = 2.0

# How long the others wait for a process that has not come up.
_START_SECONDS = 300

T = TypeVar("T")

Arrays = dict[str, np.ndarray]


class SharedError(RequestError):
    """A request that was wrong in one process at least, as all of them know."""


class SharedOutOfRoomError(SharedError, OutOfRoomError):
    """One process at least had no room on its disk, as all of them know."""


def start(*, automatic: bool, coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Joins the other processes, if there are to be any; before JAX is used for anything else.

    Args:
      automatic: whether to find the others through what started this process (SLURM, GKE, GCE TPU, Open MPI ...).
      coordinator: ``HOST:PORT`` of the first process.
      num_processes: how many there are.
      process_id: which one this is, from 0 on.

    Raises:
      RequestError: only some of the three are given, they make no sense, nothing says who the others are, or they
        cannot be reached.
    """
    given = {"--coordinator": coordinator, "--num-processes": num_processes, "--process-id": process_id}
    missing = [name for name, value in given.items() if value is None]
    if not automatic and len(missing) == len(given):
        return
    if missing and (not automatic or len(missing) < len(given)):
        raise RequestError(
            f"several processes need --coordinator HOST:PORT, --num-processes N and --process-id I; "
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not given. Give all three, or "
            "--distributed alone where SLURM, Kubernetes or a TPU pod starts the processes."
        )
    if coordinator is not None:
        _check_explicit(coordinator, num_processes, process_id)
    # It would catch SIGTERM and wait for somebody to ask; a run that is to end can be resumed as it is.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=_START_SECONDS,
            heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RequestError(
            f"the processes did not find each other ({reason}); check that all of them were started, with the same "
            "--coordinator HOST:PORT and --num-processes, and that they can reach that port."
        ) from error
    if jax.process_count() > 1:
        host = (distributed.global_state.coordinator_address or "").rpartition(":")[0].strip("[]")
        atexit.register(Lifeline(host, jax.process_index(), jax.process_count(), lambda mine: _gather(mine)[0]).let_go)


def _check_explicit(coordinator: str, num_processes: int | None, process_id: int | None) -> None:
    assert num_processes is not None
    assert process_id is not None
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise RequestError(f"--coordinator {coordinator!r} is no address; write HOST:PORT of the first process.")
    if num_processes < 1 or not 0 <= process_id < num_processes:
        raise RequestError(
            f"--process-id {process_id} of --num-processes {num_processes} does not exist; processes are numbered "
            "from 0 to N - 1."
        )


def leave(error: BaseException) -> None:
    """Ends this process after ``error``, if it is one of several, without waiting for the others.

    Returns only in a process that is alone, or if the others know of the error.
    """
    if not jax.distributed.is_initialized() or jax.process_count() == 1 or isinstance(error, SharedError):
        return
    if isinstance(error, RequestError):
        # The others may be about to find the same, and are to end with their own words for it. If they are not, the
        # connection that closes without a goodbye ends them: they would wait for a process that is gone.
        stop_watching()
        time.sleep(_GRACE_SECONDS)
        sys.stderr.flush()
        os._exit(2)
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    # What JAX says of a connection is another process's end; of memory, and of all else, it is this one's.
    if isinstance(error, jax.errors.JaxRuntimeError) and not reason.startswith("RESOURCE_EXHAUSTED"):
        end_without_the_others(jax.process_index(), reason)
    traceback.print_exception(error)
    end_with_an_error(jax.process_index(), f"{type(error).__name__}: {reason}")


def is_first() -> bool:
    """Returns whether this process is the one that writes what is written once."""
    return jax.process_index() == 0


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Makes what one process finds wrong in the body an error of all: none is left waiting for the others.

    Raises:
      RequestError: in every process, if it was raised in any. Of several it is a ``SharedError``.
    """
    mine: RequestError | None = None
    try:
        yield
    except SharedError:
        raise
    except RequestError as error:
        if jax.process_count() == 1:
            raise
        mine = error
    if jax.process_count() == 1:
        return
    kinds = {b"=": SharedError, b"!": SharedOutOfRoomError}
    mark = b"!" if isinstance(mine, OutOfRoomError) else b"="
    messages = _gather(mark + str(mine).encode() if mine else b"")
    if mine is not None:
        raise kinds[mark](str(mine)) from mine
    for process, message in enumerate(messages):
        if message:
            raise kinds[message[:1]](f"process {process}: {message[1:].decode()}")


def agree(request: Mapping[str, Any]) -> None:
    """Checks that all processes were asked for the same.

    Args:
      request: JSON values by name.

    Raises:
      RequestError: in every process; names the first field that differs.
    """
    if jax.process_count() == 1:
        return
    requests = [json.loads(message) for message in _gather(json.dumps(request).encode())]
    for process, other in enumerate(requests):
        for field, value in requests[0].items():
            if other.get(field) != value:
                raise SharedError(
                    f"process 0 was asked for {field} = {value!r}, and process {process} for {other.get(field)!r}; "
                    "start all processes with the same command."
                )


def first_then_others(work: Callable[[], T]) -> T:
    """Returns ``work()``, which the others do only when the first process has done it: it makes what they open."""
    results: list[T] = []
    for is_my_turn in (is_first(), not is_first()):
        with together():
            if is_my_turn:
                results.append(work())
    return results[0]


def share_out(tasks: Sequence[Callable[[], Arrays]]) -> list[Arrays]:
    """Returns the results of all tasks, of which each process does some.

    Raises:
      RequestError: in every process, if one of the tasks raised it.
    """
    count = jax.process_count()
    done: dict[int, Arrays] = {}
    with together():
        done = {i: task() for i, task in enumerate(tasks) if i % count == jax.process_index()}
    if count == 1:
        return [done[i] for i in range(len(tasks))]
    packed = io.BytesIO()
    named = {f"{i}/{name}": array for i, arrays in done.items() for name, array in arrays.items()}
    np.savez(packed, allow_pickle=False, **named)
    results: list[Arrays] = [{} for _ in tasks]
    for message in _gather(packed.getvalue()):
        with np.load(io.BytesIO(message), allow_pickle=False) as arrays:
            for key in arrays.files:
                i, _, name = key.partition("/")
                results[int(i)][name] = arrays[key]
    return results


def from_first(value: int) -> int:
    """Returns the first process's value, in all."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def gather_rows(array: jax.Array) -> np.ndarray:
    """Returns all of an array that is spread over the processes, in all of them."""
    if array.is_fully_addressable:
        return np.asarray(array)
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def _gather(message: bytes) -> list[bytes]:
    """Returns the messages of all processes, in all of them."""
    sizes = np.asarray(multihost_utils.process_allgather(np.int32(len(message)))).reshape(-1)
    if not sizes.max():
        return [b""] * len(sizes)
    padded = np.frombuffer(message.ljust(int(sizes.max()), b"\0"), np.uint8)
    gathered = np.asarray(multihost_utils.process_allgather(padded)).reshape(len(sizes), -1)
    return [gathered[i, :size].tobytes() for i, size in enumerate(sizes.tolist())]
