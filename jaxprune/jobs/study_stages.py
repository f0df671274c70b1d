"""What is measured of one model of a study: each measure with what it says, and its numbers for single items."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.evaluation.distortion import Distortion, add_up
from jaxprune.jobs import perplexity, snr
from jaxprune.jobs.study_inputs import Inputs
from jaxprune.sweep import OnTokens


class Measured(NamedTuple):
    """Parts of ``result.json``, and of ``items.npz``."""

    result: dict[str, Any]
    items: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Stage:
    """One measure.

    Attributes:
      name: as in the study file.
      total: tokens that ``measure`` will tell of.
      measure: of a model, telling what it has done.
    """

    name: str
    total: int
    measure: Callable[[Checkpoint, OnTokens], Measured]


def stages(inputs: Inputs, *, is_dense: bool) -> list[Stage]:
    """Returns the measures that a study asks for; against the dense model it cannot measure that itself."""
    found = []
    if inputs.perplexity is not None:
        total = perplexity.total_work(inputs.checkpoint, inputs.perplexity)
        found.append(Stage("perplexity", total, lambda model, on_tokens: _perplexity(inputs, model, on_tokens)))
    if inputs.snr is not None and not is_dense:
        total = snr.total_work(inputs.checkpoint, inputs.snr)
        found.append(Stage("snr", total, lambda model, on_tokens: _snr(inputs, model, on_tokens)))
    if inputs.tasks is not None:
        found.append(Stage("tasks", _tasks_work(inputs), lambda model, on_tokens: _tasks(inputs, model, on_tokens)))
    return found


def _perplexity(inputs: Inputs, model: Checkpoint, on_tokens: OnTokens) -> Measured:
    windows = inputs.perplexity
    assert windows is not None
    scored = perplexity.score(
        model,
        windows,
        mesh=inputs.mesh(sum(len(of.tokens_NT) for of in windows.values())),
        compute_dtype=inputs.compute_dtype,
        on_tokens=on_tokens,
    )
    items = {}
    for language, of in scored.items():
        items[f"perplexity/{language}/nats"] = of.nats_N
        items[f"perplexity/{language}/tokens"] = of.tokens_N
    found = {language: dataclasses.asdict(of.summarise()) for language, of in scored.items()}
    return Measured({"perplexity": found}, items)


def _snr(inputs: Inputs, model: Checkpoint, on_tokens: OnTokens) -> Measured:
    windows = inputs.snr
    assert windows is not None
    found = snr.snr(
        inputs.checkpoint,
        model,
        windows,
        mesh=inputs.mesh(sum(len(of.tokens_NT) for of in windows.values())),
        compute_dtype=inputs.compute_dtype,
        on_tokens=on_tokens,
    )
    languages = {
        language: {
            **_by_block(of.blocks),
            "last": of.blocks[-1].snr_db,
            "median_tokens": _numbered(of.median_tokens_db),
            "linears": {
                name: {"snr_db": linear.snr_db, "mean_squared_error": linear.mean_squared_error}
                for name, linear in of.linears.items()
            },
        }
        for language, of in found.languages.items()
    }
    return Measured({"snr": {"languages": languages, "weights": _by_block(found.blocks)}}, {})


def _by_block(blocks: tuple[Distortion, ...]) -> dict[str, Any]:
    return {"blocks": _numbered([block.snr_db for block in blocks]), "overall": add_up(blocks).snr_db}


def _numbered(values: Any) -> dict[str, float | None]:
    # Infinite where nothing changed, for which JSON has no number.
    return {str(index): value if math.isfinite(value) else None for index, value in enumerate(values)}


def _tasks_work(inputs: Inputs) -> int:
    from jaxprune.jobs import evaluate

    return evaluate.total_work(inputs.checkpoint, inputs.tasks)


def _tasks(inputs: Inputs, model: Checkpoint, on_tokens: OnTokens) -> Measured:
    from jaxprune.jobs import evaluate

    found = evaluate.evaluate(
        model, inputs.tasks, mesh=inputs.mesh(None), compute_dtype=inputs.compute_dtype, on_tokens=on_tokens
    )
    plain = evaluate.as_json(model.reference, inputs.tasks, found)
    return Measured({"tasks": plain["tasks"], "missing": plain["missing"]}, task_items(found))


def task_items(found: Mapping[str, Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Returns the numbers of single items, and which items these are."""
    items = {}
    for task, languages in found.items():
        for language, scores in languages.items():
            items[f"ids/tasks/{task}/{language}"] = np.asarray(scores.ids)
            for metric, values in scores.per_item.items():
                items[f"tasks/{task}/{language}/{metric}"] = values
    return items
