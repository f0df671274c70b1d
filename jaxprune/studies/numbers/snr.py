"""Signal-to-noise ratios of a study's points: over the seeds of a calibration, with intervals for other text and seeds.

There are two ratios. That of energies is the published one (Kuzmin et al., 2023): all tokens together, of which a few,
with activations hundreds of times as large as the others', are nearly all of the energy in the middle blocks of many
models. That of the median token says how all the others fare. What is concluded rests on the median token: which
calibration is ahead by energy is decided by how it treats a handful of tokens of the windows that were drawn, and half
of all tokens have to move before the median does. Energies stand beside it, and where they say otherwise, that is said.

Intervals are made of single windows. Studies measured before these were kept, or on one window, have none. Of weights
there is none either: all of them are known, so their ratio is exact.

Shapes: S seeds of a calibration, N windows.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxprune.evaluation.intervals import Interval
from jaxprune.evaluation.seed_spread import pool_spread
from jaxprune.evaluation.seeds import Part, criterion_over_seeds
from jaxprune.evaluation.snr_intervals import linearised_db
from jaxprune.studies.config.study import StudyConfig
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.measured import Cell, Scores, number_at


class Ratio(NamedTuple):
    """A signal-to-noise ratio.

    Attributes:
      db: mean over seeds.
      interval: 95%, for other windows and, of several seeds, for other seeds; None if windows were not kept.
    """

    db: float
    interval: Interval | None


Cells = Mapping[str, Cell]
"""Those of one setting, by calibration."""

ReadRatio = Callable[[Cells, str, str, str | None], Ratio | None]
"""Gives the ratio of a calibration in a language: of one block's output by its number, or of all blocks."""


def energy(cells: Cells, calibration: str, language: str, block: str | None = None) -> Ratio | None:
    """Returns the ratio of the energies of all tokens; None where there is no number, or nothing changed.

    Args:
      cells: of the setting, which show together what a seed changes.
      block: whose output; None: of all blocks together.
    """
    path = ("overall",) if block is None else ("blocks", block)
    db = cells[calibration].average("snr", "languages", language, *path)
    return None if db is None else Ratio(db, _interval(cells, calibration, language, block, _energies))


def median_token(cells: Cells, calibration: str, language: str, block: str | None = None) -> Ratio | None:
    """Returns the ratio of the median token, the mean over windows; None where there is no number, or nothing changed.

    Args:
      cells: of the setting, which show together what a seed changes.
      block: whose output; None: the mean over blocks, None if one of them did not change.
    """
    db = median_token_db(cells[calibration], language, block)
    return None if db is None else Ratio(db, _interval(cells, calibration, language, block, _medians))


def median_token_db(cell: Cell, language: str, block: str | None = None) -> float | None:
    """Returns the number of ``median_token`` alone."""
    path = ("snr", "languages", language, "median_tokens")
    if block is not None:
        return cell.average(*path, block)
    found: list[float] = []
    for of in _of_points(cell, language).values():
        by_block = [number_at(of, ("median_tokens", name)) for name in of.get("median_tokens", {})]
        known = [db for db in by_block if db is not None]
        if known and len(known) == len(by_block):
            found.append(float(np.mean(known)))
    return float(np.mean(found)) if found else None


def median_token_scores(cell: Cell, language: str, block: str | None = None) -> Scores | None:
    """Returns the ratios of ``median_token`` by seed and window; None where not all windows have one."""
    return _pool(cell, language, block, _medians)


def energy_db(cell: Cell, language: str) -> float | None:
    """Returns the number of ``energy`` alone, of all blocks together."""
    return cell.average("snr", "languages", language, "overall")


def blocks(cell: Cell, language: str) -> list[str]:
    """Returns the numbers of the blocks that were measured, first to last."""
    return sorted({block for of in _of_points(cell, language).values() for block in of.get("blocks", {})}, key=int)


def without_interval(config: StudyConfig) -> str:
    """Returns why a ratio has no interval."""
    asked = config.evaluation.snr
    windows = 0 if asked is None else asked.windows
    kept = "" if windows == 1 else " that were not kept one by one"
    return f"no interval: measured on {wording.count(windows, 'window')}{kept}"


def _of_points(cell: Cell, language: str) -> dict[int, Any]:
    """Returns what the points have of a language, of those that have something, by seed."""
    found = {seed: point.result.get("snr", {}) for seed, point in cell.points.items()}
    return {seed: of["languages"][language] for seed, of in found.items() if language in of.get("languages", {})}


_OfWindows = Callable[[Any, str | None], np.ndarray | None]
"""Gives of what a point has in a language the numbers of single windows, of a block or of all; None without them."""


def _pool(cell: Cell, language: str, block: str | None, of_windows: _OfWindows) -> Scores | None:
    """Returns the numbers of all seeds; None if one has none, so that the interval is of what the mean is of."""
    found = {seed: of_windows(of, block) for seed, of in _of_points(cell, language).items()}
    by_seed = [values_N for values_N in found.values() if values_N is not None]
    if not by_seed or len(by_seed) < len(found) or len({len(values_N) for values_N in by_seed}) > 1:
        return None
    totals_SN = np.stack(by_seed)
    if totals_SN.shape[1] < 2 or not np.isfinite(totals_SN).all():
        return None
    return Scores(tuple(found), totals_SN, np.ones(totals_SN.shape[1]))


def _energies(of: Any, block: str | None) -> np.ndarray | None:
    signal_N, noise_N = (_by_window(of, name, block, np.sum) for name in ("signal", "noise"))
    if signal_N is None or noise_N is None or not (signal_N.sum() > 0 and noise_N.sum() > 0):
        return None
    return linearised_db(signal_N, noise_N)


def _medians(of: Any, block: str | None) -> np.ndarray | None:
    return _by_window(of, "median_db", block, np.mean)


def _by_window(of: Any, name: str, block: str | None, over_blocks: Callable[..., np.ndarray]) -> np.ndarray | None:
    by_block = of.get("by_window", {}).get(name, {})
    if not by_block if block is None else block not in by_block:
        return None
    # What JSON has no number for is null, in an array of floats no number either.
    values_LN = np.asarray([*by_block.values()] if block is None else [by_block[block]], np.float64)
    return over_blocks(values_LN, axis=0)


def _interval(
    cells: Cells, calibration: str, language: str, block: str | None, of_windows: _OfWindows
) -> Interval | None:
    """Returns that of a mean over seeds and windows, with the errors of both added up.

    What a seed changes is taken from all calibrations of the setting, as comparisons take it: of the many ratios of a
    figure, some of a calibration's own two seeds always lie close together by luck, and others far apart.
    """
    scores = _pool(cells[calibration], language, block, of_windows)
    if scores is None:
        return None
    known = [of for cell in cells.values() if (of := _pool(cell, language, block, of_windows)) is not None]
    part = Part(1.0, scores.totals_SN, 0 * scores.totals_SN[:1], scores.counts_N)
    spread = pool_spread(of.by_seed for of in known)
    return criterion_over_seeds([part], spread=spread, is_second_dense=True).interval
