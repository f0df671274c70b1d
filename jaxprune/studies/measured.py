"""What a study measured, in the form that statistics need: items by seed, for each calibration, language and measure.

A point counts where its items are those of the dense model, in the same order, and all of them finite; what does not
count is told, never averaged in.

Shapes: S seeds of a calibration, N items (windows of text, questions).
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxprune.errors import RequestError
from jaxprune.studies.results import PointResult, StudyResults

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


Sources = Mapping[str, Mapping[str, Scores]]
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

    def average(self, *path: str) -> float | None:
        """Returns the mean over the points of a number in their results, of those that have it; None if none has."""
        found = [value for point in self.points.values() if (value := number_at(point.result, path)) is not None]
        return float(np.mean(found)) if found else None

    def largest(self, *path: str) -> float | None:
        """Returns the largest of a number in the points' results; None if none has it."""
        found = [value for point in self.points.values() if (value := number_at(point.result, path)) is not None]
        return max(found, default=None)


@dataclasses.dataclass(frozen=True)
class Measured:
    """A study's numbers.

    Attributes:
      languages: evaluated in, in the study file's order.
      measures: perplexity first, then tasks, then means over the tasks of an ability that has several.
      dense: of the model that was not pruned.
      cells: by setting, then by calibration.
      mixtures: sequences by language of every calibration.
      problems: what was measured and does not count.
    """

    languages: tuple[str, ...]
    measures: tuple[Measure, ...]
    dense: Sources
    cells: Mapping[Setting, Mapping[str, Cell]]
    mixtures: Mapping[str, Mapping[str, int]]
    problems: tuple[Problem, ...]

    def measure(self, name: str) -> Measure | None:
        """Returns the measure of that name, if anything was measured by it."""
        return next((measure for measure in self.measures if measure.name == name), None)


def read_measured(study: StudyResults) -> Measured:
    """Arranges what a study has measured so far.

    Raises:
      RequestError: there is no dense point to compare with.
    """
    if study.dense is None or study.dense.status != "done":
        found = "has not measured that yet" if study.dense is None else f"has it as {study.dense.status}"
        why = "" if study.dense is None or study.dense.error is None else f" ({study.dense.error['message']})"
        raise RequestError(
            f"a report compares pruned models with the dense one, and {study.folder} {found}{why}; run jaxprune study "
            "on that folder until it has."
        )
    problems: list[Problem] = []
    dense = _Loaded(study.dense, study.dense, problems)
    languages = tuple(study.config.evaluation.languages)
    sources: Sources = {
        language: {
            source: Scores((0,), found[0][None], found[1])
            for source in (PERPLEXITY, *dense.headlines)
            if (found := dense.read(language, source)) is not None
        }
        for language in languages
    }
    groups: dict[Setting, dict[str, dict[int, PointResult]]] = {}
    mixtures: dict[str, Mapping[str, int]] = {}
    for point in study.points:
        if point.status == "done":
            asked = point.result["point"]
            calibration = asked["calibration"] or NO_CALIBRATION
            mixtures[calibration] = asked["mixture"] or {}
            setting = Setting(_method_name(asked), asked["pattern"])
            groups.setdefault(setting, {}).setdefault(calibration, {})[asked["seed"] or 0] = point
    cells = {
        setting: {
            calibration: Cell(points, _scores(points, study.dense, sources, problems))
            for calibration, points in by_calibration.items()
        }
        for setting, by_calibration in groups.items()
    }
    return Measured(languages, _measures(study.dense.result), sources, cells, mixtures, tuple(problems))


def number_at(result: Mapping[str, Any], path: Iterable[str]) -> float | None:
    """Returns a finite number in nested mappings; None if there is none."""
    value: Any = result
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def _measures(dense: Mapping[str, Any]) -> tuple[Measure, ...]:
    measures = [Measure(PERPLEXITY, "language modelling", (), "")] if dense.get("perplexity") else []
    by_ability: dict[str, list[str]] = {}
    for name, task in dense.get("tasks", {}).items():
        measures.append(Measure(name, task["ability"], (name,), task["headline"]))
        by_ability.setdefault(task["ability"], []).append(name)
    pooled = [Measure(ability, ability, tuple(tasks), "") for ability, tasks in by_ability.items() if len(tasks) > 1]
    return (*measures, *pooled)


def _method_name(asked: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in (asked.get("settings") or {}).items())
    return f"{asked['method']} ({settings})" if settings else asked["method"]


class _Loaded:
    """A point with its items in memory, as far as they are those of the dense model."""

    def __init__(self, point: PointResult, dense: PointResult, problems: list[Problem]):
        """Reads the items; what is wrong with them goes to ``problems``."""
        self._id = point.id
        self._problems = problems
        self._is_told = False
        self.headlines = {name: task["headline"] for name, task in dense.result.get("tasks", {}).items()}
        try:
            self._items = point.items()
        except RequestError as error:
            self._items = {}
            self._is_told = True
            problems.append(Problem(point.id, str(error)))

    def read(self, language: str, source: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns totals and counts of the items; None if there are none, or they do not count."""
        if source == PERPLEXITY:
            totals_N, counts_N = (self._items.get(f"{source}/{language}/{name}") for name in ("nats", "tokens"))
        else:
            totals_N = self._items.get(f"tasks/{source}/{language}/{self.headlines[source]}")
            counts_N = None if totals_N is None else np.ones(len(totals_N))
        if totals_N is None or counts_N is None:
            return None
        wrong = int(np.count_nonzero(~np.isfinite(totals_N)))
        if wrong:
            return self._refuse(f"{source} in {language}: {wrong} of {len(totals_N)} items are not finite")
        if len(totals_N) < 2:
            return self._refuse(f"{source} in {language}: one item alone says nothing about others")
        return totals_N.astype(np.float64), counts_N.astype(np.float64)

    def read_like(self, dense: "_Loaded", language: str, source: str) -> np.ndarray | None:
        """Returns totals of the items; None if they do not count, or are not those of the dense model."""
        before = len(self._problems)
        found = self.read(language, source)
        if found is None:
            if not self._is_told and len(self._problems) == before:
                return self._refuse(f"{source} in {language}: nothing was measured, and of the dense model it was")
            return None
        name = f"{PERPLEXITY}/{language}/tokens" if source == PERPLEXITY else f"ids/tasks/{source}/{language}"
        own, wanted = (items.get(name) for items in (self._items, dense._items))
        if own is None or wanted is None or not np.array_equal(own, wanted):
            return self._refuse(f"{source} in {language}: other items than the dense model's, so they are not compared")
        # Studies that began before there were digests have none.
        name = f"digests/tasks/{source}/{language}"
        own, wanted = (items.get(name) for items in (self._items, dense._items))
        if own is not None and wanted is not None and not np.array_equal(own, wanted):
            wrong = int(np.count_nonzero(own != wanted)) if own.shape == wanted.shape else len(own)
            return self._refuse(
                f"{source} in {language}: {wrong} of {len(own)} items have the dense model's ids and another content "
                "(was the task file edited?), so they are not compared; compute one of the two anew"
            )
        return found[0]

    def _refuse(self, what: str) -> None:
        self._problems.append(Problem(self._id, what))


def _scores(
    points: Mapping[int, PointResult], dense: PointResult, sources: Sources, problems: list[Problem]
) -> dict[str, dict[str, Scores]]:
    """Returns what counts of the points of a cell; a point without a measure that others have is a problem."""
    reference = _Loaded(dense, dense, [])
    loaded = {seed: _Loaded(point, dense, problems) for seed, point in sorted(points.items())}
    scores: dict[str, dict[str, Scores]] = {}
    for language, of_language in sources.items():
        for source, of_dense in of_language.items():
            found = {seed: point.read_like(reference, language, source) for seed, point in loaded.items()}
            kept = {seed: totals_N for seed, totals_N in found.items() if totals_N is not None}
            if kept:
                of_cell = Scores(tuple(kept), np.stack(list(kept.values())), of_dense.counts_N)
                scores.setdefault(language, {})[source] = of_cell
    return scores
