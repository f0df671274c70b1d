"""Joins the other processes of a command that runs as several."""

import os
import sys


def join(distributed: bool, coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Does nothing if the command runs alone.

    Raises:
      RequestError: the processes cannot meet.
    """
    from jaxprune.distributed import start

    if distributed or coordinator is not None:
        _keep_standard_output()
    start(automatic=distributed, coordinator=coordinator, num_processes=num_processes, process_id=process_id)


def _keep_standard_output() -> None:
    """Leaves standard output to this program: the library that connects CPUs prints to it from below Python."""
    own = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(own, "w", encoding=sys.stdout.encoding)
