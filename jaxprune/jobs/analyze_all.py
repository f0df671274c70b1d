"""All analyses of several models at once: one pass of the text for each, and their masks."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from jaxprune.analysis.lape import Thresholds
from jaxprune.analysis.lockstep import Lockstep
from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.checkpoints.masks import MASKS_FILE
from jaxprune.distributed import is_first, together
from jaxprune.jobs import analyze_neurons, analyze_subspaces
from jaxprune.jobs.analysis_files import analysis_folder
from jaxprune.jobs.analyze_masks import compare_runs
from jaxprune.jobs.manifest import METADATA_FOLDER
from jaxprune.jobs.mask_runs import MaskRun, open_runs
from jaxprune.jobs.state_inputs import StateInputs
from jaxprune.studies.analyses import MASKS, NEURONS, SUBSPACES
from jaxprune.sweep import OnTokens

_WITHOUT_MASKS = "Masks are left out: fewer than two of the models were pruned by jaxprune."


def find_masks(models: Sequence[str]) -> list[MaskRun]:
    """Returns the masks of those models that have some; none if fewer than two have.

    Raises:
      RequestError: masks are of different weights.
    """
    references = [model for model in models if (Path(model).expanduser() / METADATA_FOLDER / MASKS_FILE).is_file()]
    return open_runs(references) if len(references) > 1 else []


def analyze_all(
    checkpoints: Sequence[Checkpoint],
    inputs: StateInputs,
    lockstep: Lockstep,
    *,
    masks: Sequence[MaskRun],
    rank: int,
    mesh: Mesh,
    thresholds: Thresholds | None = None,
    is_causal: bool = False,
    seed: int = 0,
    out: Path | None = None,
    overwrite: bool = False,
    on_tokens: OnTokens = lambda tokens: None,
    on_phase: Callable[[str], None] = lambda name: None,
) -> dict[str, dict[str, Any]]:
    """Returns the analyses by kind, and writes each to its folder in ``out``, with figures where matplotlib is.

    The numbers are those of ``analyze_masks``, ``analyze_subspaces`` and ``analyze_neurons``; each text goes through
    each model once for the two of them (and for the causal test, if it is asked for, as often as that needs).

    Args:
      checkpoints: the first is what the others are compared with.
      inputs: from ``prepare_states``.
      lockstep: from ``open_lockstep``.
      masks: from ``find_masks``; without, the result has no runs and a note that says why.
      rank: of the language-specific subspaces at most.
      thresholds: of the language-specific neurons; None: as published.
      is_causal: whether to silence each language's neurons, and as many others, and measure every language.
      seed: draws these others.
      out: folder to be.
      overwrite: whether ``out`` may replace an earlier result.
      on_tokens: told the tokens computed.
      on_phase: told what is being done.

    Returns:
      In all processes, but for the masks, which the first has.

    Raises:
      RequestError: activations are not finite, masks are damaged, or ``out`` cannot be written.
    """
    found: dict[str, dict[str, Any]] = {}
    read = [of.reference for of in checkpoints]
    with analysis_folder(out, overwrite=overwrite, read=read, is_one_of_many=True) as write:
        # Nothing of masks goes through devices: of several processes the first one counts.
        with together():
            if is_first():
                on_phase("masks")
                found[MASKS] = compare_runs(masks) if masks else {"runs": [], "notes": [_WITHOUT_MASKS]}
        start = time.perf_counter()
        on_phase(", ".join(inputs.languages))
        subspaces = analyze_subspaces.Collector(inputs, rank)
        neurons = analyze_neurons.Collector(inputs, checkpoints)
        for _ in lockstep.blocks(on_tokens, observe=neurons.observe, on_observed=neurons.take):
            subspaces.take(lockstep)
        computed = {"compute_dtype": str(lockstep.dtype)}
        found[SUBSPACES] = subspaces.result(checkpoints) | computed | {"seconds": time.perf_counter() - start}
        found[NEURONS] = neurons.result(
            thresholds or Thresholds(),
            is_causal=is_causal,
            seed=seed,
            mesh=mesh,
            dtype=lockstep.dtype,
            on_tokens=on_tokens,
            on_phase=on_phase,
        )
        found[NEURONS]["seconds"] = time.perf_counter() - start
        for kind, result in found.items():
            write(kind, result)
    return found
