"""Reads what a study measured into ``measured``: which items count, and of what does not count why.

A point counts where its items are those of the dense model, in the same order, and all of them finite; what does not
count is told, never averaged in. Where nothing counts of the dense model, pruned models can still be compared with one
another: their items have to be those of the first that has any.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jaxprune.errors import RequestError
from jaxprune.studies.numbers.measured import (
    NO_CALIBRATION,
    PERPLEXITY,
    Cell,
    Measure,
    Measured,
    Problem,
    Scores,
    Setting,
)
from jaxprune.studies.points.grid import DENSE
from jaxprune.studies.points.results import PointResult, StudyResults


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
