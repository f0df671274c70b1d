"""Whether an analysis of latent subspaces bears out what the published study says of them, and by which yardstick.

Three yardsticks there are, and they can disagree: how much is disturbed of what a part holds (its signal-to-noise
ratio); the same less the mean that all languages share, which can be most of what the specific part holds; and how much
for each of a part's directions, of which the agnostic part has nearly all. The published one is not known.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import scipy.stats

from jaxprune.evaluation.significance import holm
from jaxprune.studies.answers.verdicts import Finding, Verdict
from jaxprune.studies.numbers import wording
from jaxprune.studies.numbers.comparisons import ALPHA
from jaxprune.studies.numbers.model_words import are_pruned
from jaxprune.studies.numbers.subspaces import Block, is_specific_hit_more

_MOST = 0.75
_FEWEST_LANGUAGES = 5  # of fewer, no sign test can reject


def subspace_findings(result: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Judges the claim that pruning costs what languages share, in the middle and late blocks above all.

    A pruning bears it out where, in the later half of the blocks, the agnostic part of hidden states has the lower
    signal-to-noise ratio in more languages than a sign test over languages lets chance explain, after Holm's correction
    over prunings.

    Args:
      result: as ``jaxprune analyze subspaces`` writes it; nothing is judged of models that were not pruned.
    """
    claim = "What pruning loses is above all what languages share, in the middle and late blocks."
    first, *others = result["models"]
    prunings = others if are_pruned(result["models"]) else []
    late, early, centred = (
        {of["label"]: _lags(of["blocks"], half, kind) for of in prunings}
        for half, kind in (("late", "snr_db"), ("early", "snr_db"), ("late", "centred_snr_db"))
    )
    known = {label: lags for label, lags in late.items() if len(lags) >= _FEWEST_LANGUAGES and early[label]}
    if not known:
        return ()
    less_mean = {label: lags for label in known if len(lags := centred[label]) >= _FEWEST_LANGUAGES}
    shown, opposite = (_count_certain(known, sign) for sign in (1, -1))
    means = [statistics.fmean(lags.values()) for lags in known.values()]
    before = statistics.fmean(statistics.fmean(early[label].values()) for label in known)
    by_direction = [
        is_specific_hit_more(block, of_first, result["hidden_size"])
        for of in prunings
        for block, of_first in list(zip(of["blocks"], first["blocks"], strict=True))[len(of["blocks"]) // 2 :]
    ]
    agnostic_first = sum(found is False for found in by_direction)
    evidence = (
        "In the later half of the blocks the signal-to-noise ratio of the agnostic part is "
        f"{_below(statistics.fmean(means))} that of the specific part on average ({_below(min(means))} to "
        f"{_below(max(means))} in single prunings; in the earlier half {_below(before)}), measurably so in {shown} of "
        f"{wording.count(len(known), 'pruning')}, and measurably the other way in {opposite} (sign test over "
        f"{len(result['languages'])} languages, Holm over prunings). That is of what each part holds. "
    )
    yardsticks = [shown >= _MOST * len(known), agnostic_first > len(by_direction) / 2]
    if less_mean:
        of_less, other_way = (_count_certain(less_mean, sign) for sign in (1, -1))
        yardsticks.append(of_less >= _MOST * len(less_mean))
        lag = statistics.fmean(statistics.fmean(lags.values()) for lags in less_mean.values())
        evidence += (
            f"Less the mean that all languages share it is {_below(lag)}, measurably so in {of_less} and measurably "
            f"the other way in {other_way}. "
        )
    else:
        evidence += "How it is less the mean that all languages share was not kept. "
    evidence += (
        f"Direction by direction the agnostic part is disturbed more in {agnostic_first} of "
        f"{wording.count(len(by_direction), 'such block')}."
    )
    return (Finding(claim, _verdict(shown, yardsticks), evidence),)


def _verdict(shown: int, yardsticks: Sequence[bool]) -> Verdict:
    if not shown:
        return "not shown"
    return "shown" if all(yardsticks) else "partly shown"


def _count_certain(lags: Mapping[str, Mapping[str, float]], sign: int) -> int:
    """Returns in how many prunings more languages lag this way than chance explains."""
    p_values = holm({label: _sign_test(of, sign) for label, of in lags.items()})
    return sum(p_value < ALPHA for p_value in p_values.values())


def _below(lag: float) -> str:
    """Returns ``6.2 dB below``."""
    return f"{abs(lag):.1f} dB {'below' if lag >= 0 else 'above'}"


def _sign_test(lags: Mapping[str, float], sign: int) -> float:
    """Returns the chance that as many languages or more lag this way if each did so or the other way alike."""
    ahead = sum(sign * lag > 0 for lag in lags.values())
    return float(scipy.stats.binomtest(ahead, len(lags), alternative="greater").pvalue)


def _lags(blocks: Sequence[Block], half: str, kind: str) -> dict[str, float]:
    """Returns by language by how many dB the agnostic part is below the specific, mean over half of the blocks.

    Nothing of an older analysis that has not kept this kind of ratio.
    """
    middle = len(blocks) // 2
    chosen = blocks[middle:] if half == "late" else blocks[:middle]
    found: dict[str, list[float]] = {}
    for block in chosen:
        for language, of in block["change"].get(kind, {}).items():
            if of["agnostic"] is None or of["specific"] is None:  # nothing changed
                continue
            found.setdefault(language, []).append(of["specific"] - of["agnostic"])
    return {language: statistics.fmean(lags) for language, lags in found.items() if all(map(math.isfinite, lags))}
