"""A table of a report."""

from typing import NamedTuple

from jaxprune.studies.report.plain_text import plain_cell

NOTHING = "\u2013"
"""What stands in a cell without a number."""


class Table(NamedTuple):
    """Columns to the right of the first are numbers."""

    title: str
    head: list[str]
    rows: list[list[str]]


def markdown(table: Table) -> str:
    """Returns a table in Markdown."""

    def line(cells: list[str]) -> str:
        return f"| {' | '.join(map(plain_cell, cells))} |"

    rule = ["---", *["---:"] * (len(table.head) - 1)]
    return "\n".join(map(line, [table.head, rule, *table.rows]))
