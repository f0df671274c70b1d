"""Runs commands as processes of their own and reports what the operating system says of them."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple


class Process(NamedTuple):
    """A finished process: what it printed, wall seconds, processor seconds of all threads, peak resident bytes."""

    output: str
    messages: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int


class Run(NamedTuple):
    """A finished run of jaxprune: the JSON it printed, what ``Process`` tells, and compilations by function."""

    result: dict[str, Any]
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    compilations: Counter[str]


def measure(command: Sequence[str], **environment: str) -> Process:
    """Runs ``command``; raises RuntimeError with its messages if it fails."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, env={**os.environ, **environment})
        # wait4 gives the resources of this one child; RUSAGE_CHILDREN would give the largest of all so far.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        out.seek(0)
        err.seek(0)
        messages = err.read()
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{messages[-2000:]}")
        cpu_seconds = usage.ru_utime + usage.ru_stime
        return Process(out.read(), messages, seconds, cpu_seconds, usage.ru_maxrss * 1024)


def run(*arguments: str) -> Run:
    """Runs ``jaxprune ARGUMENTS --json``; raises RuntimeError with its messages if it fails."""
    done = measure([sys.executable, "-m", "jaxprune", *arguments, "--json"], JAX_LOG_COMPILES="1")
    compilations = Counter(re.findall(r"Finished XLA compilation of jit\((\w+)\)", done.messages))
    return Run(json.loads(done.output), done.seconds, done.cpu_seconds, done.peak_bytes, compilations)
