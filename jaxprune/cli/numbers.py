"""Options that are numbers, refused in this program's own words: what was asked, what was found, what to do."""

import reprlib
from typing import Any

import typer

from jaxprune.errors import RequestError


def whole(help: str, *, least: int | None = None, **more: Any) -> Any:
    """Returns an option that takes a whole number, ``least`` or more; ``more`` goes to ``typer.Option``."""
    wanted = "a whole number" if least is None else f"a whole number, {least} or more"
    return _option(int, wanted, least, help, more)


def real(help: str, **more: Any) -> Any:
    """Returns an option that takes a number; ``more`` goes to ``typer.Option``."""
    return _option(float, "a number", None, help, more)


def _option(read: type[int] | type[float], wanted: str, least: int | None, help: str, more: dict[str, Any]) -> Any:
    def parse(text: Any) -> Any:
        try:
            return read(text)
        except ValueError:
            return text  # What is raised here Typer would put into words of its own.

    # Typer tells by their order which is which; what it passes is not of the classes that it names for annotations.
    def check(context: Any, parameter: Any, value: Any) -> Any:
        del context
        is_read = value is None or isinstance(value, read)
        if not is_read or (least is not None and value is not None and value < least):
            found = value if is_read else reprlib.repr(value)
            raise RequestError(f"{parameter.opts[0]} is {found}; give {wanted}.")
        return value

    return typer.Option(help=help, metavar=f"<{read.__name__}>", parser=parse, callback=check, **more)
