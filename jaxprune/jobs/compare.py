"""Prunes one model with several calibration mixtures and measures each result in several languages."""

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from jaxprune.checkpoints import open_checkpoint
from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.checkpoints.output import OutputFolder
from jaxprune.data.calibration import Calibration, refuse_overlap
from jaxprune.data.windows import Windows
from jaxprune.evaluation.perplexity import LanguagePerplexity
from jaxprune.jobs.manifest import METADATA_FOLDER
from jaxprune.jobs.perplexity import perplexity
from jaxprune.jobs.prune import prune
from jaxprune.pruning.blockwise import Progress
from jaxprune.pruning.method import PruningMethod
from jaxprune.pruning.patterns import Pattern
from jaxprune.studies.figures.heatmap import can_draw, draw_heatmap
from jaxprune.sweep import OnTokens

RESULTS = "results.json"
FIGURE = "perplexity.png"


@dataclasses.dataclass(frozen=True)
class Watch:
    """How a caller follows a comparison: each gives the listener for one prune, or one measurement, about to start."""

    on_prune: Callable[[str], Progress]
    on_perplexity: Callable[[str], OnTokens]


def compare(
    checkpoint: Checkpoint,
    out: Path,
    *,
    calibrations: Mapping[str, Calibration],
    windows: Mapping[str, Windows],
    method: PruningMethod,
    pattern: Pattern,
    mesh: Mesh,
    compute_dtype: np.dtype,
    dtype: np.dtype | None,
    keep_models: bool,
    overwrite: bool,
    watch: Watch,
) -> dict[str, Any]:
    """Writes results, figure (where matplotlib is), manifests and masks to the folder ``out``; returns the results.

    Args:
      calibrations: by the mixture's name (``de``, ``de,en`` ...), which names its subfolder.
      windows: evaluation windows by language.
      keep_models: whether the pruned weights stay; manifest and masks always do.

    Returns:
      ``{"dense": {language: measures}, "calibrations": {mixture: {language: measures}}, ...}``.

    Raises:
      RequestError: the request cannot be met, or a document would calibrate and measure; nothing is left under ``out``.
    """
    start = time.perf_counter()
    for calibration in calibrations.values():
        for of_language in windows.values():
            refuse_overlap(of_language.tokens_NT, of_language.documents, calibration.account)
    is_drawn = can_draw()
    measure = {"mesh": mesh, "compute_dtype": compute_dtype}
    with OutputFolder(out, overwrite=overwrite, source=checkpoint.reference) as folder:
        dense = perplexity(checkpoint, windows, on_tokens=watch.on_perplexity("dense"), **measure)
        pruned: dict[str, dict[str, LanguagePerplexity]] = {}
        for mixture, calibration in calibrations.items():
            target = folder / mixture.replace(",", "+")
            prune(
                checkpoint,
                target,
                method=method,
                pattern=pattern,
                calibration=calibration,
                dtype=dtype,
                progress=watch.on_prune(mixture),
                **measure,
            )
            on_tokens = watch.on_perplexity(mixture)
            pruned[mixture] = perplexity(open_checkpoint(str(target)), windows, on_tokens=on_tokens, **measure)
            if not keep_models:
                _keep_only_metadata(target)
        results = {
            "model": checkpoint.reference,
            "method": method.name,
            "pattern": str(pattern),
            "dense": _plain(dense),
            "calibrations": {mixture: _plain(found) for mixture, found in pruned.items()},
            "seconds": time.perf_counter() - start,
        }
        (folder / RESULTS).write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if is_drawn:
            title = f"{checkpoint.reference}: {method.name} {pattern}"
            draw_heatmap(folder / FIGURE, title, _values(dense), {m: _values(found) for m, found in pruned.items()})
    return results


def _keep_only_metadata(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name != METADATA_FOLDER:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _plain(results: Mapping[str, LanguagePerplexity]) -> dict[str, Any]:
    return {language: dataclasses.asdict(found) for language, found in results.items()}


def _values(results: Mapping[str, LanguagePerplexity]) -> dict[str, float]:
    return {language: found.perplexity for language, found in results.items()}
