"""What holds for every launcher: shellcheck, heads that explain, a README whose commands run."""

import os
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.launch.stand_ins import ROOT, environment

FOLDER = ROOT / "launch"
SHELL = sorted(FOLDER.glob("*.sh"))
PYTHON = sorted(FOLDER.glob("*.py"))
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def identify(path: Path) -> str:
    return path.name


def head(script: Path) -> str:
    """Returns the comment that a shell script begins with."""
    lines = script.read_text(encoding="utf-8").splitlines()
    return "\n".join(lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))])


@pytest.mark.parametrize("script", SHELL, ids=identify)
def test_shellcheck_finds_nothing(script):
    shellcheck = Path(sysconfig.get_path("scripts")) / "shellcheck"
    done = subprocess.run([shellcheck, "--enable=quote-safe-variables", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", SHELL, ids=identify)
def test_the_head_explains_every_variable(script):
    text = script.read_text(encoding="utf-8")
    used = set(re.findall(r"\$\{([A-Z][A-Z_]+)", text)) - {"TMPDIR", "SLURM_JOB_ID", "SLURM_RESTART_COUNT"}
    assert used
    explained = set(re.findall(r"^#   ([A-Z][A-Z_]+)", head(script), re.MULTILINE))
    assert used <= explained


@pytest.mark.parametrize("script", SHELL + PYTHON, ids=identify)
def test_it_can_be_run_and_the_readme_lists_it(script):
    assert os.access(script, os.X_OK)
    assert f"[`{script.name}`]({script.name})" in README
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env ")


def readme_commands() -> list[str]:
    """Returns the last column of the README's first table."""
    return re.findall(r"^\| \[.* \| `(.*)` \|$", README, re.MULTILINE)


def test_the_readme_has_a_command_for_each():
    named = {name for text in readme_commands() for name in re.findall(r"launch/(\w+\.\w+)", text)}
    assert named == {script.name for script in SHELL + PYTHON}


@pytest.mark.parametrize("text", readme_commands())
def test_commands_of_the_readme_are_understood(text):
    dry = re.sub(r"(launch/\w+\.\w+( slurm)?)", r"\1 --dry-run", text)
    done = subprocess.run(["bash", "-c", dry], cwd=ROOT, env=environment(None, {}), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "jaxprune" in done.stdout
