"""What a study measured, in the form that statistics need: items by seed, for each calibration, language and measure.

Shapes: S seeds of a calibration, N items (windows of text, questions).
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxprune.studies.points.results import PointResult

PERPLEXITY = "perplexity"
NO_CALIBRATION = "no calibration"


class Setting(NamedTuple):
    """How was pruned, whatever the calibration: within one, calibrations are compared."""

    method: str
    pattern: str

    def __str__(self) -> str:
        """Returns ``wanda 0.5``."""
        return f"{self.method} {self.pattern}"


@dataclasses.dataclass(frozen=True)
class Measure:
    """What is compared: perplexity, a task's headline metric, or the mean of all tasks of an ability.

    Attributes:
      name: as the study file has it; of a mean of tasks, the ability.
      ability: ``language modelling`` for perplexity, else that of the tasks.
      tasks: those that it is the mean of; none for perplexity.
      metric: which of a task's; empty for perplexity and for means.
    """

    name: str
    ability: str
    tasks: tuple[str, ...]
    metric: str

    @property
    def is_pooled(self) -> bool:
        """Whether it is the mean of several tasks."""
        return len(self.tasks) > 1

    @property
    def sources(self) -> tuple[str, ...]:
        """The names under which its items lie."""
        return self.tasks or (PERPLEXITY,)


@dataclasses.dataclass(frozen=True)
class Scores:
    """One calibration in one language by one source of items.

    Attributes:
      seeds: those that count.
      totals_SN: nats of each window, or the score of each answer.
      counts_N: tokens of each window; ones for answers.
    """

    seeds: tuple[int, ...]
    totals_SN: Float[np.ndarray, "S N"]
    counts_N: Float[np.ndarray, " N"]

    @property
    def mean(self) -> float:
        """Nats a token, or the mean score, over seeds and items."""
        return float(self.totals_SN.sum(axis=1).mean() / self.counts_N.sum())

    @property
    def by_seed(self) -> Float[np.ndarray, " S"]:
        """The same of each seed."""
        return self.totals_SN.sum(axis=1) / self.counts_N.sum()

    def of_seeds(self, seeds: Sequence[int]) -> "Scores":
        """Returns what some of the seeds have."""
        return Scores(tuple(seeds), self.totals_SN[[self.seeds.index(seed) for seed in seeds]], self.counts_N)


class Problem(NamedTuple):
    """Something that was measured and does not count."""

    point: str
    what: str


Shares = Mapping[str, Scores]
"""By source: what one model has in one language."""

Sources = Mapping[str, Shares]
"""By language, then by source."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """The points of one setting and calibration.

    Attributes:
      points: those that are done, by seed.
      scores: what counts of them.
    """

    points: Mapping[int, PointResult]
    scores: Sources

    def every(self, *path: str) -> list[float]:
        """Returns a number in the points' results, of those that have it."""
        return [value for point in self.points.values() if (value := number_at(point.result, path)) is not None]

    def average(self, *path: str) -> float | None:
        """Returns its mean; None if none has it."""
        found = self.every(*path)
        return float(np.mean(found)) if found else None

    def largest(self, *path: str) -> float | None:
        """Returns the largest; None if none has it."""
        return max(self.every(*path), default=None)


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """A study's numbers; equal to nothing but itself, so that what follows from it can be kept beside it.

    Attributes:
      languages: evaluated in, in the study file's order.
      measures: perplexity first, then tasks, then means over the tasks of an ability that has several.
      dense: of the model that was not pruned; every language is there, with nothing where nothing counts.
      cells: by setting, then by calibration.
      mixtures: sequences by language of every calibration.
      problems: what was measured and does not count.
      baselines: what is scored without a model (chance, majority, shared words ...), by language, task and name.
    """

    languages: tuple[str, ...]
    measures: tuple[Measure, ...]
    dense: Sources
    cells: Mapping[Setting, Mapping[str, Cell]]
    mixtures: Mapping[str, Mapping[str, int]]
    problems: tuple[Problem, ...]
    baselines: Mapping[str, Mapping[str, Mapping[str, float]]] = dataclasses.field(default_factory=dict)

    def measure(self, name: str) -> Measure | None:
        """Returns the measure of that name, if anything was measured by it."""
        return next((measure for measure in self.measures if measure.name == name), None)

    def reference(self, language: str, source: str) -> Scores | None:
        """Returns scores that show a source's unit: the dense model's, or else those with the highest single one."""
        of_dense = self.dense[language].get(source)
        if of_dense is not None:
            return of_dense
        every = (cell.scores.get(language, {}).get(source) for of in self.cells.values() for cell in of.values())
        return max((of for of in every if of is not None), key=lambda of: of.totals_SN.max(), default=None)

    def is_lost(self, point: str, source: str, language: str) -> bool:
        """Returns whether a point was measured by a source in a language, and that does not count."""
        return any(of.point == point and of.what.startswith(f"{source} in {language}:") for of in self.problems)

    def languages_of(self, source: str) -> list[str]:
        """Returns the languages in which something counts of a source, dense or pruned."""
        return [language for language in self.languages if self.reference(language, source) is not None]


def number_at(result: Mapping[str, Any], path: Iterable[str]) -> float | None:
    """Returns a finite number in nested mappings; None if there is none."""
    value: Any = result
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None
