"""Runs ``jaxprune`` as a process of its own and reports what the operating system says of it."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from typing import Any, NamedTuple


class Run(NamedTuple):
    """A finished run: the JSON it printed, wall seconds, peak resident bytes, and compilations by function."""

    result: dict[str, Any]
    seconds: float
    peak_bytes: int
    compilations: Counter[str]


def run(*arguments: str) -> Run:
    """Runs ``jaxprune ARGUMENTS --json``; raises RuntimeError with its messages if it fails."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "jaxprune", *arguments, "--json"],
            stdout=out,
            stderr=err,
            env={**os.environ, "JAX_LOG_COMPILES": "1"},
        )
        # wait4 gives the resources of this one child; RUSAGE_CHILDREN would give the largest of all so far.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        out.seek(0)
        err.seek(0)
        messages = err.read()
        if process.returncode:
            raise RuntimeError(f"jaxprune {' '.join(arguments)} ended with {process.returncode}:\n{messages[-2000:]}")
        compilations = Counter(re.findall(r"Finished XLA compilation of jit\((\w+)\)", messages))
        return Run(json.load(out), seconds, usage.ru_maxrss * 1024, compilations)
