"""Starts ``jaxprune`` as several processes on this machine."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Hold:
    """Where a process stops and waits (``tests.held``): before a function is called for the ``call``-th time."""

    module: str
    function: str
    call: int
    mark: Path

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Returns when the process is there; one that ends before fails the test."""
        while not self.mark.exists():
            assert process.poll() is None, f"it never called {self.function} {self.call} times"
            time.sleep(0.01)

    def release(self) -> None:
        """Lets the process go on."""
        self.mark.unlink()

    def command(self) -> list[str]:
        return ["tests.held", self.module, self.function, str(self.call), str(self.mark)]


def start_alone(arguments: list[str], *, devices: int, logs: Path, hold: Hold | None = None) -> subprocess.Popen[bytes]:
    """Starts one process that has all devices."""
    return _start(arguments, devices, logs, 0, hold)


def start(
    arguments: list[str], *, processes: int, devices: int, logs: Path, hold: Hold | None = None
) -> list[subprocess.Popen[bytes]]:
    """Starts the processes, ``devices`` CPU devices each; their output goes to ``logs/I.out`` and ``logs/I.err``.

    ``hold`` is for the first one.
    """
    return start_each([arguments] * processes, devices=devices, logs=logs, hold=hold)


def start_each(
    arguments: list[list[str]], *, devices: int, logs: Path, hold: Hold | None = None
) -> list[subprocess.Popen[bytes]]:
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
            hold if index == 0 else None,
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


def _start(arguments: list[str], devices: int, logs: Path, index: int, hold: Hold | None) -> subprocess.Popen[bytes]:
    logs.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    program = ["jaxprune"] if hold is None else hold.command()
    with (logs / f"{index}.out").open("wb") as out, (logs / f"{index}.err").open("wb") as err:
        return subprocess.Popen(
            [sys.executable, "-m", *program, *arguments],
            stdout=out,
            stderr=err,
            env=environment,
            cwd=Path(__file__).parents[1],
        )
