"""How often a model wrote nothing where it was to write, which scores 0 and is another failure than a bad answer."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jaxprune.studies.language_names import language as language_of
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.measured import Measured
from jaxprune.studies.points.grid import DENSE
from jaxprune.studies.points.results import PointResult, StudyResults

_SHOWN = 6


class Count(NamedTuple):
    """Of so many generations so many are empty."""

    empty: int
    items: int

    def __str__(self) -> str:
        """Returns ``3 of 50``."""
        return f"{self.empty:,} of {self.items:,}"


Counts = Mapping[str, Mapping[str, Mapping[str, Count]]]
"""By task, then by model (``dense``, ``wanda 0.5 · de``), then by language."""


def empty_generations(study: StudyResults, measured: Measured) -> Counts:
    """Counts those of the dense model, and of each calibration over its seeds; tasks without any are left out."""
    models: dict[str, Sequence[PointResult]] = {}
    if study.dense is not None and study.is_dense_done:
        models[DENSE] = [study.dense]
    for setting, cells in measured.cells.items():
        models |= {f"{setting} \u00b7 {name}": list(cell.points.values()) for name, cell in cells.items()}
    found: dict[str, dict[str, dict[str, Count]]] = {}
    for model, results in models.items():
        for result in results:
            for task, scores in result.result.get("tasks", {}).items():
                for language, of in scores["languages"].items():
                    if of.get("empty") is not None:
                        by_language = found.setdefault(task, {}).setdefault(model, {})
                        before = by_language.get(language, Count(0, 0))
                        by_language[language] = Count(before.empty + of["empty"], before.items + of["items"])
    return {
        task: by_model
        for task, by_model in found.items()
        if any(count.empty for by_language in by_model.values() for count in by_language.values())
    }


def sentences(counts: Counts) -> list[str]:
    """Returns a sentence for each task: one number where it is the same everywhere, else where most is empty."""
    return [_sentence(task, by_model) for task, by_model in counts.items()]


def _sentence(task: str, by_model: Mapping[str, Mapping[str, Count]]) -> str:
    every = [
        (count, model, language) for model, of in by_model.items() for language, count in of.items() if count.items
    ]
    shares = {count.empty / count.items for count, _, _ in every}
    if len(shares) == 1:
        return f"{task}: {100 * shares.pop():.3g}% of generations are empty and score 0, with every model and language."
    # Of equals the order stays.
    worst = sorted((one for one in every if one[0].empty), key=lambda one: -one[0].empty / one[0].items)
    told = [f"{count} ({model}, {language_of(language).english})" for count, model, language in worst[:_SHOWN]]
    told += [f"{len(worst) - _SHOWN} more"] if len(worst) > _SHOWN else []
    return (
        f"{task}: a model that writes nothing scores 0, and did so in {wording.names(told)}; \u201cEmpty "
        "generations\u201d, near the end, has every count."
    )
