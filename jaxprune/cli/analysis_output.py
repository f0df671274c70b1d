"""How the results of analyses are printed."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jaxprune.cli import console

Tables = Callable[[dict[str, Any]], list[Any]]
"""Given a result, its tables."""


def print_analysis(result: dict[str, Any], tables: Tables, *, out: Path | None, json: bool) -> None:
    """Prints one result, for a person or as JSON."""
    if json:
        console.print_json(result)
        return
    _print_parts(result, tables)
    _print_place(out)


def print_analyses(
    found: Mapping[str, dict[str, Any]], tables: Mapping[str, tuple[str, Tables]], out: Path | None
) -> None:
    """Prints several results, each under its heading.

    Args:
      tables: by kind, the heading and what makes the tables.
    """
    for kind, result in found.items():
        heading, tables_of = tables[kind]
        console.out.print(heading, style="bold")
        _print_parts(result, tables_of)
    _print_place(out)


def _print_parts(result: dict[str, Any], tables: Tables) -> None:
    for table in tables(result):
        console.out.print(table)
    for note in result["notes"]:
        console.out.print(note, markup=False, highlight=False)


def _print_place(out: Path | None) -> None:
    if out is not None:
        console.out.print(f"written: {out}", markup=False, highlight=False)
