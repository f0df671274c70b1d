"""Runs the launchers as a shell would, with stand-ins for the programs of clusters that are not here."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXPECTED = Path(__file__).parent / "expected"


def launch(script: str, *arguments: object, path: Path | None = None, **variables: object):
    """Runs ``launch/SCRIPT`` to its end, from the root of the repository.

    Args:
      path: folder of programs that come before the machine's own.
      variables: of the environment.
    """
    return subprocess.run(
        command(script, *arguments),
        cwd=ROOT,
        env=environment(path, variables),
        capture_output=True,
        text=True,
        timeout=300,
    )


def command(script: str, *arguments: object) -> list[str]:
    """Returns the words that start a launcher, with this Python where it is one."""
    interpreter = [sys.executable] if script.endswith(".py") else []
    return [*interpreter, f"launch/{script}", *map(str, arguments)]


def environment(path: Path | None, variables: Mapping[str, object]) -> dict[str, str]:
    """Returns this process's environment with ``path`` in front and ``variables`` set."""
    found = dict(os.environ)
    if path is not None:
        found["PATH"] = f"{path}{os.pathsep}{found['PATH']}"
    return found | {name: str(value) for name, value in variables.items()}


def write_program(path: Path, text: str) -> None:
    """Writes a bash script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\nset -euo pipefail\n{text}", encoding="utf-8")
    path.chmod(0o755)


def expected(name: str) -> str:
    """Returns a file of what a dry run prints."""
    return (EXPECTED / name).read_text(encoding="utf-8")


def calls(log: Path) -> list[list[str]]:
    """Returns what ``printf '%s\\0' "$@"; printf '\\n\\0'`` has logged: a list of words a call."""
    if not log.exists():
        return []
    found: list[list[str]] = [[]]
    for word in log.read_text(encoding="utf-8").split("\0")[:-1]:
        if word == "\n":
            found.append([])
        else:
            found[-1].append(word)
    return found[:-1]
