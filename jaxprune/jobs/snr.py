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
from jaxprune.evaluation.intervals import Interval
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

    The output of each block has 95% intervals for other windows besides, and what they were made of; weights are all
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
                "blocks": _of_blocks(of),
                "linears": {name: _measures(linear) for name, linear in of.linears.items()},
                "tokens": of.tokens,
                "windows": of.windows,
            }
            for language, of in found.languages.items()
        },
    }


def energy_intervals(of: LanguageDistortion) -> list[Interval | None]:
    """Returns the 95% intervals, for other windows, of the ratios of each block's output, in dB."""
    return [
        energy_interval_db(*of_block) for of_block in zip(of.by_window.signal_LN, of.by_window.noise_LN, strict=True)
    ]


def median_intervals(of: LanguageDistortion) -> list[Interval | None]:
    """Returns the same of the ratios of the median token."""
    return [mean_interval(median_N) for median_N in of.by_window.median_db_LN]


def _of_blocks(of: LanguageDistortion) -> list[dict[str, Any]]:
    energies, medians, by_window = energy_intervals(of), median_intervals(of), window_numbers(of)
    return [
        {
            **_measures(block),
            "interval_db": energies[index],
            "median_token_snr_db": finite(of.median_tokens_db[index]),
            "median_token_interval_db": medians[index],
            "by_window": {name: of_blocks[index] for name, of_blocks in by_window.items()},
        }
        for index, block in enumerate(of.blocks)
    ]


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
