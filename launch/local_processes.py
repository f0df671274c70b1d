#!/usr/bin/env python3
"""Runs one command as several processes of this machine, which find each other over loopback.

    launch/local_processes.py --processes 4 -- jaxprune prune MODEL OUT --calibration de --texts mc4

starts the command four times, each with ``--coordinator 127.0.0.1:PORT --num-processes 4 --process-id I`` at its end.
What process I prints goes to ``LOGS/process-I.log``. A signal sent to this script (interrupt, terminate, hang up) is
sent on to all of them. When one ends with an error, its last lines are shown and the others are ended too, because they
would only wait for it. Needs Python 3.11 or newer and nothing else.

Exit status: the highest of the processes that ended by themselves (128 + N for signal N); 0 if all succeeded.

Variables that the processes read: ``JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES=4`` for four devices a process without an
accelerator; ``CUDA_VISIBLE_DEVICES`` is set by ``--gpus-each``.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_SECONDS = 0.05
LAST_LINES = 20


def main() -> int:
    """Starts the processes and waits for all of them."""
    options = parse()
    port = options.port or free_port()
    commands = [
        [*options.command, "--coordinator", f"127.0.0.1:{port}",
         "--num-processes", str(options.processes), "--process-id", str(index)]
        for index in range(options.processes)
    ]  # fmt: skip
    settings = [gpus(index, options.gpus_each) for index in range(options.processes)]
    logs = [options.logs / f"process-{index}.log" for index in range(options.processes)]
    if options.dry_run:
        for command, setting, log in zip(commands, settings, logs, strict=True):
            words = [f"{name}={value}" for name, value in setting.items()] + command
            print(f"{shlex.join(words)} > {shlex.quote(str(log))} 2>&1 &")
        return 0
    if shutil.which(options.command[0]) is None:
        say(f"{options.command[0]} is no command here; activate the environment that it is installed in.")
        return 127
    options.logs.mkdir(parents=True, exist_ok=True)
    return run(commands, settings, logs, options.grace)


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Ends the script."""
        self.exit(2, f"local_processes: {' '.join(message.split())} (--help explains)\n")


def parse() -> argparse.Namespace:
    """Reads the command line; whatever follows ``--`` is the command."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--processes", type=number(1), required=True, metavar="N", help="how many to start")
    parser.add_argument("--logs", type=folder, default="logs", help="folder of the logs (default: logs)")
    parser.add_argument("--port", type=number(1, 65535), help="of process 0, for the others (default: a free one)")
    parser.add_argument("--gpus-each", type=number(1), metavar="K", help="process I sees GPUs I*K to I*K+K-1 only")
    parser.add_argument(
        "--grace", type=seconds, default=30, metavar="SECONDS", help="from asking to end to killing (default: 30)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands, and run nothing")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="after --: the command and its arguments")
    return parser.parse_args()


def number(least: int, most: int = 999_999_999) -> Callable[[str], int]:
    """Returns what reads a whole number from ``least`` to ``most``."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} was given; give a whole number from {least} to {most}")
        return int(text)

    return read


def seconds(text: str) -> float:
    """Reads a time."""
    if not re.fullmatch("[0-9]{1,9}([.][0-9]+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} was given; give seconds, such as 30 or 0.5")
    return float(text)


def folder(text: str) -> Path:
    """Reads the name of a folder that is there, or can be made."""
    path = Path(text)
    found = next(each for each in (path, *path.parents) if os.path.exists(each))
    if not (found.is_dir() and os.access(found, os.W_OK | os.X_OK)):
        raise argparse.ArgumentTypeError(f"{text!r} was given, but {found} is no folder to write in; name another")
    return path


def free_port() -> int:
    """Returns a port that nobody listens on now; another program could still take it before process 0 does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def gpus(index: int, each: int | None) -> dict[str, str]:
    """Returns the variables that show a process its own GPUs."""
    if each is None:
        return {}
    return {"CUDA_VISIBLE_DEVICES": ",".join(str(index * each + i) for i in range(each))}


def run(commands: list[list[str]], settings: list[dict[str, str]], logs: list[Path], grace: float) -> int:
    """Runs the processes to their end and returns the worst status."""
    received: list[int] = []
    for number in SIGNALS:
        signal.signal(number, lambda number, _: received.append(number))
    running = {index: start(*each) for index, each in enumerate(zip(commands, settings, logs, strict=True))}
    say(f"{len(running)} processes; what they print is in {logs[0].parent}/process-*.log")
    worst, failed, deadline = 0, False, None
    while running:
        time.sleep(POLL_SECONDS)
        while received:
            number = received.pop(0)
            say(f"{signal.Signals(number).name}: sent on to {len(running)} processes")
            send(number, running)
            deadline = deadline or time.monotonic() + grace
        ended = {index: process.returncode for index, process in running.items() if process.poll() is not None}
        running = {index: process for index, process in running.items() if index not in ended}
        if not failed:  # afterwards they end because they were told to
            worst = max([worst, *map(status, ended.values())])
        if worst and deadline is None:
            first = next(index for index, code in ended.items() if code)
            report(first, ended[first], logs[first], len(running))
            send(signal.SIGTERM, running)
            failed, deadline = True, time.monotonic() + grace
        if deadline is not None and running and time.monotonic() > deadline:
            say(f"{len(running)} processes have not ended after {grace:g} seconds: killed")
            send(signal.SIGKILL, running)
            deadline += grace
    return worst


def start(command: list[str], setting: dict[str, str], log: Path) -> subprocess.Popen:
    """Starts a process in a group of its own: a terminal's Ctrl-C then comes once, through this script."""
    with log.open("wb") as out:
        return subprocess.Popen(
            command, env=os.environ | setting, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )


def send(number: int, running: dict[int, subprocess.Popen]) -> None:
    """Sends a signal to each process and whatever it started."""
    for process in running.values():
        os.killpg(process.pid, number)


def status(code: int) -> int:
    """Returns a process's exit status as a shell tells it."""
    return code if code >= 0 else 128 - code


def report(index: int, code: int, log: Path, others: int) -> None:
    """Says which process failed, and shows the end of its log."""
    how = f"status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
    say(f"process {index} ended with {how}; ending the other {others}. The last lines of {log}:")
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]:
        print(f"    {line}", file=sys.stderr)


def say(message: str) -> None:
    """Prints to standard error."""
    print(f"local_processes: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
