"""Starts ``jaxprune`` as several processes on this machine."""

import os
import socket
import subprocess
import sys
from pathlib import Path


def start_alone(arguments: list[str], *, devices: int, logs: Path) -> subprocess.Popen[bytes]:
    """Starts one process that has all devices."""
    return _start(arguments, devices, logs, 0)


def start(arguments: list[str], *, processes: int, devices: int, logs: Path) -> list[subprocess.Popen[bytes]]:
    """Starts the processes, ``devices`` CPU devices each; their output goes to ``logs/I.out`` and ``logs/I.err``."""
    return start_each([arguments] * processes, devices=devices, logs=logs)


def start_each(arguments: list[list[str]], *, devices: int, logs: Path) -> list[subprocess.Popen[bytes]]:
    """Starts one process for each list of arguments, as ``start`` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return [
        _start(
            [*each, "--coordinator", address, "--num-processes", str(len(arguments)), "--process-id", str(index)],
            devices,
            logs,
            index,
        )
        for index, each in enumerate(arguments)
    ]


def wait(processes: list[subprocess.Popen[bytes]], *, seconds: float) -> list[int]:
    """Returns the exit status of each; whatever still runs after that time is killed and fails the test."""
    try:
        return [process.wait(seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()


def _start(arguments: list[str], devices: int, logs: Path, index: int) -> subprocess.Popen[bytes]:
    logs.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    with (logs / f"{index}.out").open("wb") as out, (logs / f"{index}.err").open("wb") as err:
        return subprocess.Popen([sys.executable, "-m", "jaxprune", *arguments], stdout=out, stderr=err, env=environment)
