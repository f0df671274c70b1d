"""What the user sees: progress and messages on standard error, results on standard output."""

import contextlib
import json
import logging
import sys
import time
from collections.abc import Iterator
from typing import Any

import rich.box
import rich.console
import rich.logging
import rich.markup
import rich.progress
import rich.table
import rich.text

from jaxprune.json_values import storable

# Without a terminal there is no width to keep to: a guess at one would cut numbers off.
_WIDTH_OF_A_FILE = 200

out = rich.console.Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE)
err = rich.console.Console(stderr=True)

# Without a terminal (a log file, a batch job) a bar is of no use: a line now and then is.
_FIRST_LINE_SECONDS = 2.0
_LINE_EVERY_SECONDS = 15.0


class _Lines(logging.Handler):
    """Prints every record as one line, however long: a log file is searched line by line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints the message."""
        err.print(rich.markup.escape(self.format(record)), highlight=False, soft_wrap=True)


def log_to_stderr() -> None:
    """Shows what the library has to say (downloads, escalated damping) on standard error."""
    handler = _Lines()
    logger = logging.getLogger("jaxprune")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def print_json(result: Any) -> None:
    """Prints exactly one JSON object on standard output; numbers that JSON cannot hold become null."""
    sys.stdout.write(json.dumps(storable(result), ensure_ascii=False, indent=2, allow_nan=False) + "\n")


class WorkProgress:
    """A bar (or, without a terminal, lines) with phase, speed and time left."""

    def __init__(self, title: str, total: int, unit: str = "tokens", *, is_shown: bool = True):
        """Starts at zero of ``total`` units; of several processes one shows it."""
        self._is_shown = is_shown
        self._title = title
        self._unit = unit
        self._total = max(total, 1)
        self._done = 0
        self._phase = ""
        self._first: tuple[float, int] | None = None
        self._next_line = time.perf_counter() + _FIRST_LINE_SECONDS
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}", markup=False),
            rich.progress.BarColumn(),
            rich.progress.TaskProgressColumn(),
            rich.progress.TextColumn("{task.fields[rate]}"),
            rich.progress.TimeRemainingColumn(elapsed_when_finished=True),
            console=err,
            disable=not (is_shown and err.is_terminal),
            transient=True,
        )
        self._task = self._bar.add_task(title, total=self._total, rate="")

    def __enter__(self) -> "WorkProgress":
        """Shows the bar."""
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Takes the bar away."""
        self._bar.stop()

    def phase(self, name: str) -> None:
        """Shows what is being done."""
        self._phase = name
        self._bar.update(self._task, description=f"{self._title}  {name}")
        self._line()

    def advance(self, amount: int) -> None:
        """Moves on by ``amount`` units."""
        self._done += amount
        self._first = self._first or (time.perf_counter(), amount)
        self._bar.update(self._task, advance=amount, rate=self._speed())
        self._line()

    def _speed(self) -> str:
        rate = self._rate()
        return f"{rate:,.0f} {self._unit}/s" if rate and self._unit == "tokens" else ""

    def _rate(self) -> float:
        """Returns the units a second since the first were done: compiling comes before them, and not again."""
        if self._first is None:
            return 0.0
        start, units = self._first
        return (self._done - units) / max(time.perf_counter() - start, 1e-9)

    def _line(self) -> None:
        now = time.perf_counter()
        if not self._is_shown or err.is_terminal or now < self._next_line:
            return
        self._next_line = now + _LINE_EVERY_SECONDS
        rate = self._rate()
        parts = [
            f"{self._done / self._total:.0%}",
            self._speed(),
            f"{(self._total - self._done) / rate / 60:.1f} min left" if rate else "",
        ]
        err.print(f"{self._title}  {self._phase}  {', '.join(filter(None, parts))}", highlight=False, markup=False)


@contextlib.contextmanager
def working(message: str) -> Iterator[None]:
    """Shows a spinner with ``message`` while something of unknown length is done."""
    if not err.is_terminal:
        yield
        return
    with err.status(rich.markup.escape(message)):
        yield


def table(title: str, columns: list[str], rows: list[list[str]]) -> rich.table.Table:
    """Returns a table: first column to the left, the others to the right."""
    # Text, not strings: names of files and models may hold what rich takes for markup.
    result = rich.table.Table(title=rich.text.Text(title), title_justify="left", box=rich.box.SIMPLE_HEAD)
    for i, column in enumerate(columns):
        # In a narrow terminal cells take two lines: cut off, numbers would be lost.
        result.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        result.add_row(*map(rich.text.Text, row))
    return result


def summary(rows: list[list[str]]) -> rich.table.Table:
    """Returns pairs of label and value, one a line."""
    grid = rich.table.Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*map(rich.text.Text, row))
    return grid
