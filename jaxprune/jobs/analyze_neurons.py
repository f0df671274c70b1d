"""Finds the neurons of several models that are specific to languages, and what silencing them does."""

import functools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from jaxprune.analysis.gates import GateCounts
from jaxprune.analysis.lape import Thresholds
from jaxprune.analysis.neuron_sets import select_counted
from jaxprune.analysis.neurons import as_json
from jaxprune.analysis.silencing import Effects, causal_test, passes
from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.checkpoints.output import OutputFolder
from jaxprune.data.token_files import TOKENS
from jaxprune.data.tokenizing import window_start
from jaxprune.data.windows import Windows
from jaxprune.errors import RequestError
from jaxprune.jobs.perplexity import check_unseen, prepare_windows
from jaxprune.jobs.snr import check_pair
from jaxprune.microbatches import make_microbatches
from jaxprune.studies.heatmap import can_draw
from jaxprune.studies.neuron_figures import draw_neuron_figures
from jaxprune.sweep import OnTokens, Sweep, read_ahead

RESULTS = "neurons.json"
WINDOWS = 16
LEAST_TOKENS = 1000
"""Of each language: with as many independent ones a probability has a standard error of 1.6 % at most (sqrt(p (1 - p) /
n) at p = 1/2). Tokens of one window are not independent, so it is a lower bound of what is needed."""


def check_request(texts: str, languages: Sequence[str]) -> None:
    """Checks what can be checked before a model is opened.

    Raises:
      RequestError: text without languages, or fewer than two of them.
    """
    if texts.startswith(TOKENS):
        raise RequestError(
            f"{texts} was asked for, and token files do not say which language they are of; name text by language, for "
            "example --texts sample."
        )
    if len(languages) < 2:
        raise RequestError(
            f"neurons are specific to one language among several, and --languages names only {', '.join(languages)}; "
            "name another."
        )


def prepare_neurons(
    checkpoints: Sequence[Checkpoint], texts: str, languages: Sequence[str], *, windows: int | None, length: int
) -> tuple[dict[str, Windows], int]:
    """Returns the windows to run, by language, and how many tokens before each window's text are not counted.

    Args:
      checkpoints: the first is what others are compared with.
      windows: for each language; None: 16.

    Raises:
      RequestError: a model is named twice or is no pruning of the first, a language or enough text is missing, or a
        window served to calibrate one of the models.
    """
    check_request(texts, languages)
    references = [checkpoint.reference for checkpoint in checkpoints]
    for checkpoint in checkpoints[1:]:
        if references.count(checkpoint.reference) > 1:
            raise RequestError(f"{checkpoint.reference} is given more than once; name each model once.")
        check_pair(checkpoints[0], checkpoint)
    windows = windows or WINDOWS
    leading = len(window_start(checkpoints[0].tokenizer()))
    tokens = windows * max(0, length - leading)
    if tokens < LEAST_TOKENS:
        raise RequestError(
            f"{windows} windows of {length} tokens hold {tokens} tokens of text, and {LEAST_TOKENS} of each language "
            "are needed at least (with fewer, an activation probability may have a standard error above 1.6 %); ask "
            "for more or longer windows (--windows, --length)."
        )
    prepared = prepare_windows(checkpoints[0], texts, languages, windows=windows, length=length, protocol="windows")
    for checkpoint in checkpoints[1:]:
        check_unseen(checkpoint.reference, prepared)
    return prepared, leading


def total_work(checkpoints: Sequence[Checkpoint], windows: Mapping[str, Windows], *, is_causal: bool) -> int:
    """Returns the tokens that ``analyze_neurons`` will report."""
    tokens = sum(of_language.tokens_NT.size for of_language in windows.values())
    num_blocks = checkpoints[0].model.num_blocks
    of_model = num_blocks + (passes(len(windows)) * (num_blocks + 1) if is_causal else 0)
    return len(checkpoints) * tokens * of_model


def count_gates(
    checkpoint: Checkpoint,
    windows: Mapping[str, Windows],
    *,
    mesh: Mesh,
    compute_dtype: np.dtype,
    leading: int,
    on_tokens: OnTokens = lambda tokens: None,
) -> GateCounts:
    """Returns how often each neuron's gate is open, reading one block of the checkpoint at a time."""
    counts = GateCounts(list(windows), checkpoint.model, leading=leading)
    languages = [language for language, of_language in windows.items() for _ in of_language.tokens_NT]
    tokens_NT = np.concatenate([of_language.tokens_NT for of_language in windows.values()])
    batches = make_microbatches(tokens_NT, languages, mesh=mesh)
    sweep = Sweep(checkpoint.model, batches, mesh=mesh, dtype=compute_dtype)
    sweep.embed(checkpoint.parameters)
    for index, params in read_ahead(checkpoint.parameters, range(checkpoint.model.num_blocks), mesh=mesh):
        on_observed = functools.partial(counts.accumulate, index)
        sweep.advance(index, params, on_tokens, observe=counts.observe, on_observed=on_observed)
    return counts


def analyze_neurons(
    checkpoints: Sequence[Checkpoint],
    windows: Mapping[str, Windows],
    *,
    mesh: Mesh,
    compute_dtype: np.dtype,
    texts: str,
    leading: int,
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
      windows: from ``prepare_neurons``, as is ``leading``.
      texts: where they are from, for the record.
      thresholds: None: as published.
      is_causal: whether to silence each language's neurons, and as many others, and measure every language.
      seed: draws these others.
      out: folder to be.
      overwrite: whether ``out`` may replace an earlier result.
      on_tokens: told the tokens computed.
      on_phase: told what is being done.

    Returns:
      ``{"models": [..], "languages": {..}, "neurons": {model: ..}, "silencing": {model: ..} or None, ..}``.

    Raises:
      RequestError: activations are not finite, or ``out`` cannot be written.
    """
    thresholds = thresholds or Thresholds()
    start = time.perf_counter()

    def analyze() -> dict[str, Any]:
        counts = {}
        labels = name_models([checkpoint.reference for checkpoint in checkpoints])
        for label, checkpoint in zip(labels, checkpoints, strict=True):
            on_phase(label)
            counts[label] = count_gates(
                checkpoint, windows, mesh=mesh, compute_dtype=compute_dtype, leading=leading, on_tokens=on_tokens
            )
        silencing: dict[str, dict[str, Effects]] = {}
        for (label, of_model), checkpoint in zip(counts.items(), checkpoints if is_causal else (), strict=is_causal):
            silencing[label] = causal_test(
                checkpoint.parameters,
                checkpoint.model,
                windows,
                select_counted(of_model, thresholds).members_LNF,
                mesh=mesh,
                dtype=compute_dtype,
                seed=seed,
                on_tokens=on_tokens,
                on_phase=lambda silenced, label=label: on_phase(f"{label}  {silenced}"),
            )
        found = as_json(counts, thresholds, silencing, length=next(iter(windows.values())).tokens_NT.shape[1])
        models = [
            {"label": label, "reference": checkpoint.reference}
            for label, checkpoint in zip(counts, checkpoints, strict=True)
        ]
        request = {"models": models, "texts": texts, "seed": seed, "compute_dtype": str(np.dtype(compute_dtype))}
        return request | found | {"seconds": time.perf_counter() - start}

    if out is None:
        return analyze()
    is_drawn = can_draw()
    with OutputFolder(out, overwrite=overwrite) as folder:
        result = analyze()
        (folder / RESULTS).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if is_drawn:
            draw_neuron_figures(folder, result)
    return result


def name_models(references: Sequence[str]) -> list[str]:
    """Returns the last part of each reference, or all of it where that is not enough."""
    names = [reference.rstrip("/").rpartition("/")[2] for reference in references]
    return [
        name if name and names.count(name) == 1 else reference
        for name, reference in zip(names, references, strict=True)
    ]
