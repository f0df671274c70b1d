"""The analyses that a study keeps, as sections of its report: what each shows, what not, figures and numbers."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxprune.studies.analyses import ANALYSES, MASKS, NEURONS, SUBSPACES, Stored
from jaxprune.studies.figure_files import NamedFigure
from jaxprune.studies.report.mask_words import mask_table, mask_words
from jaxprune.studies.report.neuron_words import neuron_tables, neuron_words
from jaxprune.studies.report.subspace_words import subspace_table, subspace_words
from jaxprune.studies.report.table import Table

# Of figures that there is one of for each model; the tables have all.
_MOST_ALIKE = 2


class _Told(NamedTuple):
    heading: str
    words: Callable[[Mapping[str, Any]], tuple[str, str]]
    tables: Callable[[Mapping[str, Any]], list[Table]]


_KINDS = {
    MASKS: _Told("Which weights are kept", mask_words, lambda result: [mask_table(result)]),
    SUBSPACES: _Told(
        "What languages share, and what tells them apart", subspace_words, lambda result: [subspace_table(result)]
    ),
    NEURONS: _Told("Neurons of single languages", neuron_words, neuron_tables),
}


class Section(NamedTuple):
    """An analysis, as the report tells it.

    Attributes:
      name: of the section, as figures refer to it.
      shows: a paragraph on what it shows.
      not_shown: one on what it does not.
      notes: of the analysis itself.
      result: its numbers, from which the figures are drawn.
    """

    kind: str
    name: str
    heading: str
    shows: str
    not_shown: str
    notes: tuple[str, ...]
    tables: tuple[Table, ...]
    result: Mapping[str, Any]

    def figures(self) -> list[NamedFigure]:
        """Returns its figures; needs matplotlib."""
        drawn = ANALYSES[self.kind].figures(self.result)
        silencing = [figure for figure in drawn if figure.name.startswith("silencing-")]
        return [figure for figure in drawn if figure not in silencing[_MOST_ALIKE:]]


def analysis_sections(stored: Iterable[Stored], study: Path) -> tuple[tuple[Section, ...], tuple[str, ...]]:
    """Returns the sections, and why analyses are left out that cannot be read or are not what they should be."""
    sections, problems = [], []
    for of in stored:
        if of.result is None:
            problems.append(f"An analysis is left out: {of.problem}")
            continue
        told = _KINDS[of.kind]
        place = of.path.parent.relative_to(study).as_posix()
        try:
            shows, not_shown = told.words(of.result)
            tables = tuple(told.tables(of.result))
            notes = tuple(map(str, of.result["notes"]))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            problems.append(
                f"An analysis is left out: {of.path} is not what jaxprune analyze {of.kind} writes "
                f"({type(error).__name__}: {error}); analyse again."
            )
            continue
        sections.append(Section(of.kind, place, told.heading, shows, not_shown, notes, tables, of.result))
    return tuple(sections), tuple(problems)
