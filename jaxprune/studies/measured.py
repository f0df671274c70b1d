"""What a study measured, in the form that statistics need: items by seed, for each calibration, language and measure.

A point counts where its items are those of the dense model, in the same order, and all of them finite; what does not
count is told, never averaged in. Where nothing counts of the dense model, pruned models can still be compared with one
another: their items have to be those of the first that has any.

Shapes: S seeds of a calibration, N items (windows of text, questions).
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxprune.errors import RequestError
from jaxprune.studies.grid import DENSE
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


def read_measured(study: StudyResults) -> Measured:
    """Arranges what a study has measured so far; of one that has only begun, nothing."""
    problems: list[Problem] = []
    languages = tuple(study.config.evaluation.languages)
    read = _Reading(study, problems)
    dense: dict[str, dict[str, Scores]] = {language: {} for language in languages}
    if study.dense is not None and study.is_dense_done:
        for (language, source), totals_N in read.point(study.dense).items():
            dense[language][source] = Scores((0,), totals_N[None], read.counts_of(language, source))
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
        setting: {calibration: Cell(points, _scores(points, read)) for calibration, points in by_calibration.items()}
        for setting, by_calibration in groups.items()
    }
    measures = _measures(study.done[0].result) if study.done else ()
    return Measured(languages, measures, dense, cells, mixtures, tuple(problems), _baselines(study, languages))


def number_at(result: Mapping[str, Any], path: Iterable[str]) -> float | None:
    """Returns a finite number in nested mappings; None if there is none."""
    value: Any = result
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def _baselines(study: StudyResults, languages: Iterable[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Returns what the first result that has a task in a language says of it; a baseline is of the items."""
    found: dict[str, dict[str, dict[str, float]]] = {language: {} for language in languages}
    for of in study.done:
        for name, task in of.result.get("tasks", {}).items():
            for language in found.keys() & task["languages"].keys():
                known = task["languages"][language]["baselines"].items()
                found[language].setdefault(name, {what: value for what, value in known if value is not None})
    return found


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
    """A result with its items in memory."""

    def __init__(self, point: PointResult, headlines: Mapping[str, str], problems: list[Problem]):
        """Reads the items; what is wrong with them goes to ``problems``."""
        self.id = point.id
        self.items: Mapping[str, np.ndarray] = {}
        self.is_damaged = False
        self._headlines = headlines
        self._problems = problems
        try:
            self.items = point.items()
        except RequestError as error:
            self.is_damaged = True
            problems.append(Problem(point.id, str(error)))

    @property
    def owner(self) -> str:
        """Whose items these are, in words."""
        return "the dense model" if self.id == DENSE else self.id

    def has(self, language: str, source: str) -> bool:
        """Whether there are items, be they right or wrong."""
        return self._find(language, source) is not None

    def read(self, language: str, source: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns totals and counts of the items; None if they do not count."""
        found = self._find(language, source)
        if found is None:
            return None
        totals_N, counts_N = found
        wrong = int(np.count_nonzero(~np.isfinite(totals_N)))
        if wrong:
            return self.refuse(language, source, f"{wrong} of {len(totals_N)} items are not finite")
        if len(totals_N) < 2:
            return self.refuse(language, source, "one item alone says nothing about others")
        return totals_N.astype(np.float64), counts_N.astype(np.float64)

    def is_like(self, other: "_Loaded", language: str, source: str) -> bool:
        """Returns whether the items are those of another result, and says so if not."""
        whose = f"{other.owner}'s"
        name = f"{PERPLEXITY}/{language}/tokens" if source == PERPLEXITY else f"ids/tasks/{source}/{language}"
        own, wanted = (items.get(name) for items in (self.items, other.items))
        if own is None or wanted is None or not np.array_equal(own, wanted):
            self.refuse(language, source, f"other items than {whose}, so they are not compared")
            return False
        # Studies that began before there were digests have none.
        name = f"digests/tasks/{source}/{language}"
        own, wanted = (items.get(name) for items in (self.items, other.items))
        if own is not None and wanted is not None and not np.array_equal(own, wanted):
            wrong = int(np.count_nonzero(own != wanted)) if own.shape == wanted.shape else len(own)
            self.refuse(
                language,
                source,
                f"{wrong} of {len(own)} items have {whose} ids and another content (was the task file "
                "edited?), so they are not compared; compute one of the two anew",
            )
            return False
        return True

    def refuse(self, language: str, source: str, why: str) -> None:
        """Says that a measurement does not count."""
        self._problems.append(Problem(self.id, f"{source} in {language}: {why}"))

    def _find(self, language: str, source: str) -> tuple[np.ndarray, np.ndarray] | None:
        if source == PERPLEXITY:
            totals_N, counts_N = (self.items.get(f"{source}/{language}/{name}") for name in ("nats", "tokens"))
        else:
            totals_N = self.items.get(f"tasks/{source}/{language}/{self._headlines[source]}")
            counts_N = None if totals_N is None else np.ones(len(totals_N))
        return None if totals_N is None or counts_N is None else (totals_N, counts_N)


class _Reading:
    """Reads results, and keeps of each measure whose items all others' have to be."""

    def __init__(self, study: StudyResults, problems: list[Problem]):
        """Finds out what has been measured of any model."""
        self._problems = problems
        self._headlines = {
            name: task["headline"] for of in reversed(study.done) for name, task in of.result.get("tasks", {}).items()
        }
        self._expected = [
            (language, source)
            for language in study.config.evaluation.languages
            for source in (PERPLEXITY, *self._headlines)
            if any(_has_measured(of.result, language, source) for of in study.done)
        ]
        self._references: dict[tuple[str, str], tuple[_Loaded, np.ndarray]] = {}

    def counts_of(self, language: str, source: str) -> np.ndarray:
        """Returns tokens of each window, or ones for answers, of a measure that counts in some result."""
        return self._references[language, source][1]

    def point(self, point: PointResult) -> dict[tuple[str, str], np.ndarray]:
        """Returns the totals of the items of what counts, by language and source."""
        loaded = _Loaded(point, self._headlines, self._problems)
        found: dict[tuple[str, str], np.ndarray] = {}
        for key in self._expected:
            if not loaded.has(*key):
                if loaded.is_damaged:
                    continue
                if point.id != DENSE:
                    owner = self._references[key][0].owner if key in self._references else "others"
                    loaded.refuse(*key, f"nothing was measured, and of {owner} it was")
                elif _has_measured(point.result, *key):
                    loaded.refuse(*key, "the items are not there that its result tells of")
                continue
            own = loaded.read(*key)
            if own is None:
                continue
            reference, _ = self._references.setdefault(key, (loaded, own[1]))
            if reference is loaded or loaded.is_like(reference, *key):
                found[key] = own[0]
        return found


def _has_measured(result: Mapping[str, Any], language: str, source: str) -> bool:
    if source == PERPLEXITY:
        return language in result.get("perplexity", {})
    return language in result.get("tasks", {}).get(source, {}).get("languages", {})


def _scores(points: Mapping[int, PointResult], read: _Reading) -> dict[str, dict[str, Scores]]:
    """Returns what counts of the points of a cell."""
    totals: dict[tuple[str, str], dict[int, np.ndarray]] = {}
    for seed, point in sorted(points.items()):
        for key, totals_N in read.point(point).items():
            totals.setdefault(key, {})[seed] = totals_N
    scores: dict[str, dict[str, Scores]] = {}
    for (language, source), kept in totals.items():
        of_cell = Scores(tuple(kept), np.stack(list(kept.values())), read.counts_of(language, source))
        scores.setdefault(language, {})[source] = of_cell
    return scores
