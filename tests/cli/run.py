"""Runs a command in this process and gives back what a shell would see."""

import contextlib
import logging
from collections.abc import Iterator
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
    with kept_logging():
        return _run(capsys, arguments)


@contextlib.contextmanager
def kept_logging() -> Iterator[None]:
    """Undoes what ``main`` does to the package's logger, which other tests use as well."""
    logger = logging.getLogger("jaxprune")
    before = (logger.handlers, logger.level, logger.propagate)
    try:
        yield
    finally:
        logger.handlers, logger.level, logger.propagate = before


def _run(capsys: pytest.CaptureFixture[str], arguments: tuple[object, ...]) -> Outcome:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return Outcome(int(exit_.value.code or 0), *capsys.readouterr())
