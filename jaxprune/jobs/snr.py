"""Measures what pruning changed in a checkpoint's weights and activations, against the dense one."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh

from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.data.token_files import TOKENS
from jaxprune.data.windows import Windows
from jaxprune.evaluation.distortion import Distortion, LanguageDistortion, ModelDistortion, add_up
from jaxprune.evaluation.snr import PASSES, signal_to_noise
from jaxprune.evaluation.snr_intervals import energy_interval_db, mean_interval
from jaxprune.jobs.shared_text import prepare_shared_windows
from jaxprune.sweep import OnTokens


def prepare_snr(
    dense: Checkpoint, pruned: Checkpoint, texts: str, languages: Sequence[str], *, windows: int | None, length: int
) -> dict[str, Windows]:
    """Returns the windows to run, by language; ``tokens:`` files have the one language ``tokens``.

    Args:
      windows: for each language; None: 16, or every row of a ``tokens:`` file.

    Raises:
      RequestError: the models are no pair or cut text otherwise, a language or enough text is missing, or a window
        served to calibrate.
    """
    if not texts.startswith(TOKENS):
        windows = windows or 16
    return prepare_shared_windows((dense, pruned), texts, languages, windows=windows, length=length)


def total_work(dense: Checkpoint, windows: Mapping[str, Windows]) -> int:
    """Returns the tokens that ``snr`` will report."""
    return PASSES * dense.model.num_blocks * sum(of_language.tokens_NT.size for of_language in windows.values())


def snr(
    dense: Checkpoint,
    pruned: Checkpoint,
    windows: Mapping[str, Windows],
    *,
    mesh: Mesh,
    compute_dtype: np.dtype,
    on_tokens: OnTokens = lambda tokens: None,
) -> ModelDistortion:
    """Returns what pruning changed, reading one block of each checkpoint at a time."""
    return signal_to_noise(
        dense.parameters,
        pruned.parameters,
        dense.model,
        {language: of_language.tokens_NT for language, of_language in windows.items()},
        mesh=mesh,
        dtype=compute_dtype,
        on_tokens=on_tokens,
    )


def as_json(found: ModelDistortion, windows: Mapping[str, Windows], request: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what ``snr --json`` prints: ``request``, then every number in dB, relative and as a mean square.

    The output of each block has 95 % intervals for other windows besides, and what they were made of; weights are all
    known, so theirs would be of no width.
    """
    return {
        **request,
        "length": next(iter(windows.values())).tokens_NT.shape[1],
        "weights": {
            "overall": _measures(add_up(found.blocks)),
            "blocks": [_measures(block) for block in found.blocks],
            "kernels": {name: _measures(kernel) for block in found.kernels for name, kernel in block.items()},
        },
        "languages": {
            language: {
                "blocks": [_of_block(of, index) for index in range(len(of.blocks))],
                "linears": {name: _measures(linear) for name, linear in of.linears.items()},
                "tokens": of.tokens,
                "windows": of.windows,
            }
            for language, of in found.languages.items()
        },
    }


def _of_block(of: LanguageDistortion, index: int) -> dict[str, Any]:
    by_window = of.by_window
    return {
        **_measures(of.blocks[index]),
        "interval_db": energy_interval_db(by_window.signal_LN[index], by_window.noise_LN[index]),
        "median_token_snr_db": finite(of.median_tokens_db[index]),
        "median_token_interval_db": mean_interval(by_window.median_db_LN[index]),
        "by_window": {name: values_LN[index] for name, values_LN in window_numbers(of).items()},
    }


def window_numbers(of: LanguageDistortion) -> dict[str, list[list[float | None]]]:
    """Returns what JSON keeps of single windows: for each block a list of energies, and of medians in dB."""
    by_window = of.by_window
    return {
        name: [[finite(value) for value in values_N] for values_N in values_LN.tolist()]
        for name, values_LN in (
            ("signal", by_window.signal_LN), ("noise", by_window.noise_LN), ("median_db", by_window.median_db_LN)
        )
    }  # fmt: skip


def finite(value: float) -> float | None:
    """Returns what JSON has for a ratio: nothing where it is infinite, as nothing changed."""
    return value if math.isfinite(value) else None


def _measures(found: Distortion) -> dict[str, float | bool | None]:
    return {
        "snr_db": None if found.is_identical else found.snr_db,
        "relative_error": found.relative_error,
        "mean_squared_error": found.mean_squared_error,
        "identical": found.is_identical,
    }
