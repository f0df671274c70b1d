"""Runs a command in this process and gives back what a shell would see."""

from typing import NamedTuple

import pytest

from jaxprune.cli.app import main


class Outcome(NamedTuple):
    """Exit status, standard output and standard error."""

    status: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """Runs ``jaxprune ARGUMENTS``."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return Outcome(int(exit_.value.code or 0), *capsys.readouterr())
