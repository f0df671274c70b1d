"""Joins the other processes of a command that runs as several."""

import os
import sys
from collections.abc import Mapping
from typing import Any

# What processes may be given differently: who they are, and what changes no result.
_OWN = ("models", "host_memory", "json", "distributed", "coordinator", "num_processes", "process_id")


def join(distributed: bool, coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Does nothing if the command runs alone.

    Raises:
      RequestError: the processes cannot meet.
    """
    from jaxprune.distributed import start

    if distributed or coordinator is not None:
        _keep_standard_output()
    start(automatic=distributed, coordinator=coordinator, num_processes=num_processes, process_id=process_id)


def check_agreement(parameters: Mapping[str, Any]) -> None:
    """Checks that all processes were asked for the same, before they wait for each other.

    Args:
      parameters: of the command, by name. Models may have other names elsewhere, and are left to whoever opens them.

    Raises:
      RequestError: in every process; names what differs.
    """
    from jaxprune.distributed import agree

    agree({name: value if value is None else str(value) for name, value in parameters.items() if name not in _OWN})


def _keep_standard_output() -> None:
    """Leaves standard output to this program: the library that connects CPUs prints to it from below Python."""
    own = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(own, "w", encoding=sys.stdout.encoding)
