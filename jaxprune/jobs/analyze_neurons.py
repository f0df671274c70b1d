"""Finds the neurons of several models that are specific to languages, and what silencing them does."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array

from jaxprune.analysis.gates import GateCounts, OpenGates
from jaxprune.analysis.lape import Thresholds
from jaxprune.analysis.lockstep import Lockstep
from jaxprune.analysis.neuron_sets import select_counted
from jaxprune.analysis.neurons import as_json
from jaxprune.analysis.silencing import Effects, causal_test, passes
from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.data.windows import Windows
from jaxprune.jobs.analysis_files import analysis_folder
from jaxprune.jobs.model_names import account_models, source_notes
from jaxprune.jobs.state_inputs import StateInputs
from jaxprune.microbatches import Microbatch
from jaxprune.studies.analyses import NEURONS
from jaxprune.sweep import OnTokens


class Collector:
    """Counts the open gates of models while a lockstep goes through them."""

    def __init__(self, inputs: StateInputs, checkpoints: Sequence[Checkpoint]):
        """Starts at zero."""
        self._inputs, self._checkpoints = inputs, checkpoints
        leading = inputs.num_leading
        self._counts = [GateCounts(inputs.languages, of.model, leading=leading) for of in checkpoints]

    @property
    def observe(self) -> OpenGates:
        """The observer whose results ``take`` is given."""
        return self._counts[0].observe

    def take(self, which: int, block: int, batch: Microbatch, observed_BF: Array | np.ndarray) -> None:
        """Adds what was observed of a microbatch in a block of a model."""
        self._counts[which].accumulate(block, batch, observed_BF)

    def result(
        self,
        thresholds: Thresholds,
        *,
        is_causal: bool,
        seed: int,
        mesh: Mesh,
        dtype: np.dtype,
        on_tokens: OnTokens = lambda tokens: None,
        on_phase: Callable[[str], None] = lambda name: None,
    ) -> dict[str, Any]:
        """Returns what was found as JSON, models in their order, after the causal test if that is asked for."""
        models = account_models(self._checkpoints)
        counts = {model["label"]: of for model, of in zip(models, self._counts, strict=True)}
        silencing: dict[str, dict[str, Effects | None]] = {}
        # What neurons were chosen on they fit better than other text: half of the windows choose, the others judge.
        windows = {language: Windows(of.tokens_NT[1::2], None) for language, of in self._inputs.windows.items()}
        for model, of_model, checkpoint in zip(
            models, self._counts, self._checkpoints if is_causal else (), strict=is_causal
        ):
            label = model["label"]
            silencing[label] = causal_test(
                checkpoint.parameters,
                checkpoint.model,
                windows,
                select_counted(of_model.every_other(), thresholds).members_LNF,
                mesh=mesh,
                dtype=dtype,
                seed=seed,
                on_tokens=on_tokens,
                on_phase=lambda silenced, label=label: on_phase(f"{label}  {silenced}"),
            )
        text = self._inputs.as_json()
        found = as_json(counts, thresholds, silencing, length=text["length"])
        found["notes"] += source_notes(self._checkpoints)
        return {"models": models, "texts": text["texts"], "seed": seed, "compute_dtype": str(dtype), **found}


def silencing_work(checkpoints: Sequence[Checkpoint], inputs: StateInputs) -> int:
    """Returns the tokens that ``Collector.result`` will report, if the test is asked for; spared ones are of them."""
    blocks = checkpoints[0].model.num_blocks + 1
    tokens = sum(of.tokens_NT[1::2].size for of in inputs.windows.values())
    return len(checkpoints) * passes(len(inputs.languages)) * tokens * blocks


def analyze_neurons(
    checkpoints: Sequence[Checkpoint],
    inputs: StateInputs,
    lockstep: Lockstep,
    *,
    mesh: Mesh,
    thresholds: Thresholds | None = None,
    is_causal: bool = False,
    seed: int = 0,
    out: Path | None = None,
    overwrite: bool = False,
    on_tokens: OnTokens = lambda tokens: None,
    on_phase: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Returns the analysis, and writes it to the folder ``out`` if one is given, with figures where matplotlib is.

    Args:
      checkpoints: the first is what others are compared with.
      inputs: from ``prepare_states``.
      lockstep: from ``open_lockstep``.
      thresholds: None: as published.
      is_causal: whether to silence each language's neurons, and as many others, and measure every language.
      seed: draws these others.
      out: folder to be.
      overwrite: whether ``out`` may replace an earlier result.
      on_tokens: told the tokens computed: ``lockstep.total_work``, and of the causal test ``silencing_work``.
      on_phase: told what is being done.

    Returns:
      ``{"models": [..], "languages": {..}, "neurons": {model: ..}, "silencing": {model: ..} or None, ..}``.

    Raises:
      RequestError: activations are not finite, or ``out`` cannot be written.
    """
    start = time.perf_counter()
    with analysis_folder(out, overwrite=overwrite, read=[of.reference for of in checkpoints]) as write:
        collector = Collector(inputs, checkpoints)
        on_phase(", ".join(inputs.languages))
        for _ in lockstep.blocks(on_tokens, observe=collector.observe, on_observed=collector.take):
            pass
        result = collector.result(
            thresholds or Thresholds(),
            is_causal=is_causal,
            seed=seed,
            mesh=mesh,
            dtype=lockstep.dtype,
            on_tokens=on_tokens,
            on_phase=on_phase,
        )
        result["seconds"] = time.perf_counter() - start
        write(NEURONS, result)
    return result
