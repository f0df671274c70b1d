"""Splits the hidden states of models into what languages share and what tells them apart, block by block."""

import dataclasses
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from jaxprune.analysis.lockstep import Lockstep
from jaxprune.analysis.subspaces import BlockSubspaces, measure_block
from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.checkpoints.output import OutputFolder
from jaxprune.jobs.model_names import name_models
from jaxprune.jobs.state_inputs import StateInputs
from jaxprune.studies.heatmap import can_draw
from jaxprune.studies.subspace_figures import draw_subspace_figures
from jaxprune.sweep import OnTokens

RESULTS = "subspaces.json"

# Below this, two halves of the text give subspaces that differ by more than 18 degrees on average.
_STABLE = 0.9


class Collector:
    """Measures each block that a lockstep has gone through."""

    def __init__(self, inputs: StateInputs, rank: int):
        """Starts before the first block.

        Args:
          rank: of the language-specific subspaces at most.
        """
        self._inputs, self._rank = inputs, rank
        self._blocks: list[list[BlockSubspaces]] = []

    def take(self, lockstep: Lockstep) -> None:
        """Measures all models after a block."""
        self._blocks.append(
            measure_block(
                lockstep.sweeps,
                self._inputs.languages,
                rank=self._rank,
                num_leading=self._inputs.num_leading,
                sentences=[self._by_language(vectors_ND) for vectors_ND in lockstep.sentence_vectors()],
            )
        )

    def result(self, references: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
        """Returns what was found as JSON, models in their order."""
        inputs = self._inputs
        models = [
            {"label": label, "reference": reference, "blocks": [_plain(of_block[k]) for of_block in self._blocks]}
            for k, (reference, label) in enumerate(zip(references, labels, strict=True))
        ]
        width = len(next(iter(inputs.windows.values())).tokens_NT[0])
        return {
            "languages": list(inputs.languages),
            "rank": self._rank,
            "tokens": inputs.own_tokens,
            "length": width,
            "sentences": {language: len(of) for language, of in inputs.sentences.items()},
            "models": models,
            "notes": list(self._notes()),
        }

    def _by_language(self, vectors_ND: np.ndarray) -> dict[str, np.ndarray]:
        ends = np.cumsum([len(of) for of in self._inputs.sentences.values()])
        return dict(zip(self._inputs.sentences, np.split(vectors_ND, ends[:-1]), strict=True))

    def _notes(self) -> Iterator[str]:
        shaky = [
            index
            for index, models in enumerate(self._blocks)
            if models[0].stability is not None and models[0].stability < _STABLE
        ]
        if shaky:
            yield (
                f"After {len(shaky)} of {len(self._blocks)} blocks, two halves of the text give language-specific "
                f"subspaces of the first model with a mean squared cosine below {_STABLE}: read differences between "
                "models there with care, or give more text."
            )
        left_out = [language for language in self._inputs.languages if language not in self._inputs.sentences]
        if self._inputs.sentences and left_out:
            yield f"Without sentences, and so without retrieval: {', '.join(left_out)}."


def open_lockstep(
    checkpoints: Sequence[Checkpoint], inputs: StateInputs, *, mesh: Mesh, compute_dtype: np.dtype
) -> Lockstep:
    """Returns the models before their embeddings."""
    return Lockstep(
        [checkpoint.parameters for checkpoint in checkpoints],
        checkpoints[0].model,
        {language: of.tokens_NT for language, of in inputs.windows.items()},
        sentences=inputs.flat_sentences,
        num_leading=inputs.num_leading,
        mesh=mesh,
        dtype=compute_dtype,
    )


def analyze_subspaces(
    checkpoints: Sequence[Checkpoint], inputs: StateInputs, lockstep: Lockstep, *, rank: int, on_tokens: OnTokens
) -> dict[str, Any]:
    """Returns the analysis of models, the first being what the others are compared with.

    Raises:
      RequestError: the output of a block is not finite.
    """
    start = time.perf_counter()
    collector = Collector(inputs, rank)
    for _ in lockstep.blocks(on_tokens):
        collector.take(lockstep)
    references = [checkpoint.reference for checkpoint in checkpoints]
    return collector.result(references, name_models(references)) | {"seconds": time.perf_counter() - start}


def write(out: Path, result: Mapping[str, Any], *, overwrite: bool) -> None:
    """Writes a result to the folder ``out``, with figures where matplotlib is.

    Raises:
      RequestError: ``out`` cannot be written.
    """
    is_drawn = can_draw()
    with OutputFolder(out, overwrite=overwrite) as folder:
        text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / RESULTS).write_text(text + "\n", encoding="utf-8")
        if is_drawn:
            draw_subspace_figures(folder, result)


def _plain(found: BlockSubspaces) -> dict[str, Any]:
    plain = dataclasses.asdict(found)
    if found.change is not None:
        # Infinite where nothing changed, for which JSON has no number.
        plain["change"]["snr_db"] = {
            language: {part: value if math.isfinite(value) else None for part, value in parts.items()}
            for language, parts in found.change.snr_db.items()
        }
    if found.sentences is not None:
        plain["sentences"]["alignment"] = {"-".join(pair): of for pair, of in found.sentences.alignment.items()}
    return plain
