"""The kinds of analysis: the file that holds each, its figures, and where a study keeps it."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxprune.checkpoints.json_file import parse_object
from jaxprune.errors import RequestError
from jaxprune.studies.figures.files import NamedFigure
from jaxprune.studies.figures.masks import mask_figures
from jaxprune.studies.figures.neurons import neuron_figures
from jaxprune.studies.figures.subspaces import subspace_figures


class Analysis(NamedTuple):
    """A kind of analysis.

    Attributes:
      file: its result, as JSON.
      figures: drawn from the result.
    """

    file: str
    figures: Callable[[Mapping[str, Any]], list[NamedFigure]]


MASKS, SUBSPACES, NEURONS = "masks", "subspaces", "neurons"
ANALYSES = {
    MASKS: Analysis("masks.json", mask_figures),
    SUBSPACES: Analysis("subspaces.json", subspace_figures),
    NEURONS: Analysis("neurons.json", neuron_figures),
}

FOLDER = "analysis"
"""In a study's folder: what lies in it, at whatever depth, a report tells of."""


class Stored(NamedTuple):
    """An analysis that a study keeps.

    Attributes:
      kind: one of ``ANALYSES``.
      path: its file.
      result: what is in it; None if it cannot be read.
      problem: why not; empty if it can.
    """

    kind: str
    path: Path
    result: Mapping[str, Any] | None
    problem: str = ""


def read_analyses(study: Path) -> Iterator[Stored]:
    """Yields the analyses in the folder of a study, kind by kind."""
    for kind, of in ANALYSES.items():
        folder = study / FOLDER
        for path in sorted(folder.rglob(of.file)):
            try:
                yield Stored(kind, path, parse_object(path.read_bytes(), str(path), advice="analyse again"))
            except (OSError, RequestError) as error:
                yield Stored(kind, path, None, str(error))
