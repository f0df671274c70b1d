"""Splits the hidden states of models into what languages share and what tells them apart, block by block."""

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxprune.analysis.lockstep import Lockstep
from jaxprune.analysis.sentence_checks import SentenceChecks, retrieval_gain
from jaxprune.analysis.subspaces import BlockSubspaces, measure_block
from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.jobs.analysis_files import analysis_folder
from jaxprune.jobs.model_names import account_models, source_notes
from jaxprune.jobs.state_inputs import StateInputs
from jaxprune.studies.analyses import SUBSPACES
from jaxprune.sweep import OnTokens

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

    def result(self, checkpoints: Sequence[Checkpoint]) -> dict[str, Any]:
        """Returns what was found as JSON, models in their order."""
        inputs = self._inputs
        models = [
            {
                **model,
                "retrieval_gain": _gain([of_block[index].sentences for of_block in self._blocks]),
                "blocks": [_plain(of_block[index]) for of_block in self._blocks],
            }
            for index, model in enumerate(account_models(checkpoints))
        ]
        return inputs.as_json() | {
            "hidden_size": checkpoints[0].model.config.hidden_size,
            "rank": self._rank,
            "sentences": {language: len(of) for language, of in inputs.sentences.items()},
            "models": models,
            "notes": [*self._notes(), *source_notes(checkpoints)],
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


def analyze_subspaces(
    checkpoints: Sequence[Checkpoint],
    inputs: StateInputs,
    lockstep: Lockstep,
    *,
    rank: int,
    out: Path | None = None,
    overwrite: bool = False,
    on_tokens: OnTokens = lambda tokens: None,
) -> dict[str, Any]:
    """Returns the analysis, and writes it to the folder ``out`` if one is given, with figures where matplotlib is.

    Args:
      checkpoints: the first is what the others are compared with.
      inputs: from ``prepare_states``.
      lockstep: from ``open_lockstep``.
      rank: of the language-specific subspaces at most.
      out: folder to be.
      overwrite: whether ``out`` may replace an earlier result.
      on_tokens: told the tokens computed.

    Raises:
      RequestError: the output of a block is not finite, or ``out`` cannot be written.
    """
    start = time.perf_counter()
    with analysis_folder(out, overwrite=overwrite, read=[of.reference for of in checkpoints]) as write:
        collector = Collector(inputs, rank)
        for _ in lockstep.blocks(on_tokens):
            collector.take(lockstep)
        computed = {"compute_dtype": str(lockstep.dtype)}
        result = collector.result(checkpoints) | computed | {"seconds": time.perf_counter() - start}
        write(SUBSPACES, result)
    return result


def _plain(found: BlockSubspaces) -> dict[str, Any]:
    plain = dataclasses.asdict(found)
    if found.change is not None:
        # Infinite where nothing changed, for which JSON has no number.
        for name in ("snr_db", "centred_snr_db"):
            plain["change"][name] = {
                language: {part: value if math.isfinite(value) else None for part, value in parts.items()}
                for language, parts in plain["change"][name].items()
            }
    if found.sentences is not None:
        plain["sentences"] = {
            "retrieval": found.sentences.retrieval,
            "retrieval_gain": _gain([found.sentences]),
            "identification": found.sentences.identification,
            "alignment": {"-".join(pair): of for pair, of in found.sentences.alignment.items()},
        }
    return plain


def _gain(blocks: Sequence[SentenceChecks | None]) -> dict[str, Any] | None:
    known = [block for block in blocks if block is not None]
    return dataclasses.asdict(retrieval_gain(known)) if known else None
