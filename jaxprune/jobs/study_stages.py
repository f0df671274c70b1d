"""What is measured of one model of a study: each measure with what it says, and its numbers for single items."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.evaluation.distortion import Distortion, LanguageDistortion, add_up
from jaxprune.evaluation.snr_intervals import energy_interval_db
from jaxprune.jobs import evaluate, perplexity, snr
from jaxprune.jobs.study_inputs import Inputs
from jaxprune.tasks.items import content_digest


class Measured(NamedTuple):
    """Parts of ``result.json``, and of ``items.npz``."""

    result: dict[str, Any]
    items: dict[str, np.ndarray]


class Bar(Protocol):
    """Shows how far something is."""

    def phase(self, name: str) -> None:
        """Shows what is being done."""
        ...

    def advance(self, amount: int) -> None:
        """Moves on by so many tokens."""
        ...


StartBar = Callable[[str, int], Bar]
"""Told what begins and how many tokens it will report; gives what shows them."""

Stage = Callable[[Inputs, Checkpoint, StartBar], Measured]
"""Measures a model."""


def stages(inputs: Inputs, *, is_dense: bool) -> dict[str, Stage]:
    """Returns the measures that a study asks for; what compares with the dense model says nothing of that itself."""
    asked = {
        "perplexity": inputs.perplexity is not None,
        "snr": inputs.snr is not None and not is_dense,
        "tasks": inputs.tasks is not None,
        "harness": inputs.harness is not None,
    }
    return {name: stage for name, stage in STAGES.items() if asked[name]}


def _perplexity(inputs: Inputs, model: Checkpoint, start_bar: StartBar) -> Measured:
    windows = inputs.perplexity
    assert windows is not None
    scored = perplexity.score(
        model,
        windows,
        mesh=inputs.mesh(sum(len(of.tokens_NT) for of in windows.values())),
        compute_dtype=inputs.compute_dtype,
        on_tokens=start_bar("perplexity", perplexity.total_work(model, windows)).advance,
    )
    items = {}
    for language, of in scored.items():
        items[f"perplexity/{language}/nats"] = of.nats_N
        items[f"perplexity/{language}/tokens"] = of.tokens_N
    found = {language: dataclasses.asdict(of.summarise()) for language, of in scored.items()}
    return Measured({"perplexity": found}, items)


def _snr(inputs: Inputs, model: Checkpoint, start_bar: StartBar) -> Measured:
    windows = inputs.snr
    assert windows is not None
    found = snr.snr(
        inputs.checkpoint,
        model,
        windows,
        mesh=inputs.mesh(sum(len(of.tokens_NT) for of in windows.values())),
        compute_dtype=inputs.compute_dtype,
        on_tokens=start_bar("snr", snr.total_work(model, windows)).advance,
    )
    languages = {
        language: {
            **_by_block(of.blocks),
            "last": of.blocks[-1].snr_db,
            "median_tokens": _numbered(of.median_tokens_db),
            "intervals": _intervals(of),
            "windows": of.windows,
            "by_window": {
                name: {str(index): of_block for index, of_block in enumerate(by_block)}
                for name, by_block in snr.window_numbers(of).items()
            },
            "linears": {
                name: {"snr_db": linear.snr_db, "mean_squared_error": linear.mean_squared_error}
                for name, linear in of.linears.items()
            },
        }
        for language, of in found.languages.items()
    }
    return Measured({"snr": {"languages": languages, "weights": _by_block(found.blocks)}}, {})


def _intervals(of: LanguageDistortion) -> dict[str, Any]:
    """Returns those for other windows, under the names of the ratios that they are of."""
    energies, by_window = snr.energy_intervals(of), of.by_window
    return {
        "blocks": {str(index): interval for index, interval in enumerate(energies)},
        "overall": energy_interval_db(by_window.signal_LN.sum(axis=0), by_window.noise_LN.sum(axis=0)),
        "last": energies[-1],
        "median_tokens": {str(index): interval for index, interval in enumerate(snr.median_intervals(of))},
    }


def _by_block(blocks: tuple[Distortion, ...]) -> dict[str, Any]:
    return {"blocks": _numbered([block.snr_db for block in blocks]), "overall": add_up(blocks).snr_db}


def _numbered(values: Any) -> dict[str, float | None]:
    return {str(index): snr.finite(value) for index, value in enumerate(values)}


def _tasks(inputs: Inputs, model: Checkpoint, start_bar: StartBar) -> Measured:
    asked = inputs.config.evaluation.tasks
    assert inputs.tasks is not None
    assert asked is not None
    found = evaluate.evaluate(
        model,
        inputs.tasks,
        mesh=inputs.mesh(inputs.tasks.num_items),
        compute_dtype=inputs.compute_dtype,
        on_stage=lambda name, total: start_bar(f"tasks: {name}", total).advance,
    )
    plain = evaluate.as_json(model.reference, inputs.tasks, found, asked.limit)
    items = {}
    for task, languages in found.items():
        for language, scores in languages.items():
            items[f"ids/tasks/{task}/{language}"] = np.asarray(scores.ids)
            # A task file may be edited in the middle of a study: ids, often numbers of lines, stay as they are.
            asked_items = inputs.tasks.items[task][language]
            items[f"digests/tasks/{task}/{language}"] = np.asarray([content_digest(item) for item in asked_items])
            for metric, values in scores.per_item.items():
                items[f"tasks/{task}/{language}/{metric}"] = values
    return Measured({"tasks": plain["tasks"], "missing": plain["missing"]}, items)


def _harness(inputs: Inputs, model: Checkpoint, start_bar: StartBar) -> Measured:
    assert inputs.harness is not None
    tasks, items = inputs.harness.measure(
        model,
        mesh_for=inputs.mesh,
        dtype=inputs.compute_dtype,
        on_stage=lambda name, total: start_bar(f"harness: {name}", total).advance,
    )
    missing = inputs.harness.missing(inputs.config.evaluation.languages)
    return Measured({"tasks": tasks, "missing": missing}, items)


STAGES: Mapping[str, Stage] = {"perplexity": _perplexity, "snr": _snr, "tasks": _tasks, "harness": _harness}
"""All there are, in the order in which they are measured; what needs others' servers comes last."""


def add(found: dict[str, Any], measured: Measured) -> None:
    """Adds what a stage says to what others have said; two of them say something of tasks."""
    for name, value in measured.result.items():
        if isinstance(value, list):
            found[name] = [*found.get(name, []), *value]
        else:
            found[name] = {**found.get(name, {}), **value}
