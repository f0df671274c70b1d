"""Tables in terminals of any width."""

import itertools

import pytest
import rich.console

from jaxprune.cli import analyze_masks, analyze_neurons, analyze_subspaces, console
from tests.studies import made_analyses


def shown(table, width):
    screen = rich.console.Console(width=width)
    with screen.capture() as capture:
        screen.print(table)
    return capture.get()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_number_is_cut_off(width):
    numbers = [f"+0.{i}{i}{i} (−1.{i}{i}{i})" for i in range(1, 7)]
    told = shown(console.table("numbers", ["name", *"abcdef"], [["a name of words", *numbers]]), width)
    assert "…" not in told
    assert max(map(len, told.splitlines())) <= width
    if width >= 80:
        for number in itertools.chain.from_iterable(map(str.split, numbers)):
            assert number in told


def test_titles_of_analyses_keep_to_eighty_columns(tmp_path):
    tables = [
        *analyze_masks.tables(made_analyses.masks(tmp_path)),
        *analyze_subspaces.tables(made_analyses.subspaces()),
        *analyze_neurons.tables(made_analyses.neurons()),
    ]
    assert len(tables) > 9
    for table in tables:
        lines = [line.rstrip() for line in shown(table, 80).splitlines()]
        for line in str(table.title).splitlines():
            assert line in lines
