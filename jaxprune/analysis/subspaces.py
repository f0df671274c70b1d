"""What languages share and what tells them apart after a block, in several models, and how far each is from the first.

Two visits to the hidden states where they lie: the first for the mean of each language, from which the split is found
(``jaxprune.analysis.lsar``), the second for what lies in either part. Nothing of it grows with the amount of text.

Shapes: K models, L languages, D hidden size, N sentences of each language.
"""

import dataclasses
import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from jaxprune.analysis.lsar import Split, angle_between, principal_angles, split_languages, squared_cosines
from jaxprune.analysis.sentence_checks import PARTS, SentenceChecks, check_sentences
from jaxprune.analysis.token_moments import LanguageMoments, sequence_sums
from jaxprune.evaluation.distortion import Distortion
from jaxprune.sweep import Sweep


@dataclasses.dataclass(frozen=True)
class Change:
    """How far a model is from the first one.

    Attributes:
      angles: principal angles in degrees between the language-specific subspaces, smallest first.
      squared_cosine: the mean of their squared cosines; 1 for the same subspace.
      shared_angle: in degrees, between what all languages have in common.
      snr_db: by language, signal-to-noise ratio of the hidden states and of their parts, as the first model's split
        cuts them; infinite where nothing changed.
      centred_snr_db: the same of what is left when each model's states lose the mean over all its languages.
      alignment: by language, centred kernel alignment over tokens; None where a model's states do not vary.
    """

    angles: tuple[float, ...]
    squared_cosine: float | None
    shared_angle: float
    snr_db: dict[str, dict[str, float]]
    centred_snr_db: dict[str, dict[str, float]]
    alignment: dict[str, float | None]


@dataclasses.dataclass(frozen=True)
class BlockSubspaces:
    """One model after one block.

    Attributes:
      rank: directions of the language-specific subspace.
      stability: mean squared cosine of the subspaces that two halves of the text give; None with one window.
      stability_angles: their principal angles in degrees, smallest first.
      energy: by language, mean squared length of a hidden state.
      specific_share: by language, how much of that lies in the language-specific subspace.
      common_share: how much of the energy of either part, over all languages, is a mean that they have in common. Along
        the directions in which languages differ that mean is as long as it happens to be: LSAR's shared vector is
        orthogonal to them, and is not the mean.
      change: against the first model; None for itself.
      sentences: None without.
    """

    rank: int
    stability: float | None
    stability_angles: tuple[float, ...] | None
    energy: dict[str, float]
    specific_share: dict[str, float]
    common_share: dict[str, float]
    change: Change | None
    sentences: SentenceChecks | None


def measure_block(
    sweeps: Sequence[Sweep],
    languages: Sequence[str],
    *,
    rank: int,
    num_leading: int,
    sentences: Sequence[Mapping[str, Float[np.ndarray, "N D"]]] = (),
) -> list[BlockSubspaces]:
    """Returns what the hidden states say of each model.

    Args:
      sweeps: of each model, all after the same block.
      languages: of their windows.
      rank: of the language-specific subspaces at most.
      num_leading: tokens at the beginning of each window that are left out: the huge states of a first token would be
        all of the energy.
      sentences: for each model the vectors of the same sentences by language; or none.
    """
    means, splits, halves = zip(
        *(_means_and_split(sweep, languages, rank, num_leading) for sweep in sweeps), strict=True
    )
    energy: list[dict[str, float]] = [{} for _ in sweeps]
    share: list[dict[str, float]] = [{} for _ in sweeps]
    ratios: list[dict[str, dict[str, float]]] = [{} for _ in sweeps]
    centred: list[dict[str, dict[str, float]]] = [{} for _ in sweeps]
    centres = [np.mean(list(of.values()), axis=0) for of in means]
    alignment: list[dict[str, float | None]] = [{} for _ in sweeps]
    together = zip(*(sweep.states() for sweep in sweeps), strict=True)
    for language, batches in itertools.groupby(together, key=lambda states: states[0][0].language):
        moments = LanguageMoments(
            sweeps[0].mesh,
            np.stack([of_model[language] for of_model in means]),
            [split.specific_DR for split in splits],
            num_leading=num_leading,
        )
        for states in batches:
            moments.add(states[0][0], [x_BTD for _, x_BTD in states])
        aligned = (None, *moments.alignments())
        for k in range(len(sweeps)):
            whole, specific = moments.energy(k)
            energy[k][language], share[k][language] = whole, specific / whole if whole else 0.0
            if k:
                parts = moments.distortion(k)
                alignment[k][language], ratios[k][language] = aligned[k], _ratios(*parts)
                lost = _Lost(
                    moments.count,
                    means[0][language],
                    centres[0],
                    means[0][language] - means[k][language],
                    centres[0] - centres[k],
                )
                centred[k][language] = _ratios(lost.of(parts[0]), lost.along(splits[0].specific_DR).of(parts[1]))
    return [
        BlockSubspaces(
            split.rank,
            None if halves[k] is None else squared_cosines(*halves[k]),
            None if halves[k] is None else tuple(principal_angles(*halves[k]).tolist()),
            energy[k],
            share[k],
            _common_share(centres[k], split, energy[k], share[k]),
            _change(splits[0], split, ratios[k], centred[k], alignment[k]) if k else None,
            check_sentences(sentences[k], split) if sentences else None,
        )
        for k, split in enumerate(splits)
    ]


def _means_and_split(
    sweep: Sweep, languages: Sequence[str], rank: int, num_leading: int
) -> tuple[dict[str, Float64[np.ndarray, " D"]], Split, tuple[Split, Split] | None]:
    """Returns a model's language means, its split, and the splits of the windows' two halves."""
    width, own = sweep.model.config.hidden_size, sweep.batches[0].tokens_BT.shape[1] - num_leading
    sums = {language: np.zeros((2, width)) for language in languages}
    counts = {language: np.zeros((2, 1)) for language in languages}
    for batch, x_BTD in sweep.states():
        sums_nD = sequence_sums(batch, x_BTD, num_leading)
        # Every other window: text that comes in an order is in both halves.
        half_n = (int(counts[batch.language].sum()) // own + np.arange(len(sums_nD))) % 2
        for half in (0, 1):
            sums[batch.language][half] += sums_nD[half_n == half].sum(axis=0)
            counts[batch.language][half] += own * np.count_nonzero(half_n == half)
    means = {language: of.sum(axis=0) / counts[language].sum() for language, of in sums.items()}
    split = split_languages(np.stack(list(means.values())), rank)
    if not all(of.all() for of in counts.values()):
        return means, split, None
    halves = np.stack([sums[language] / counts[language] for language in languages])
    return means, split, (split_languages(halves[:, 0], rank), split_languages(halves[:, 1], rank))


def _ratios(whole: Distortion, specific: Distortion) -> dict[str, float]:
    rest = Distortion(
        max(0.0, whole.signal - specific.signal), max(0.0, whole.noise - specific.noise), max(1, whole.count)
    )
    return {part: of.snr_db for part, of in zip(PARTS, (whole, rest, specific), strict=True)}


class _Lost(NamedTuple):
    """What the squares of a language lose when all states lose the mean over languages, and changes the mean change.

    Attributes:
      count: tokens.
      mean_D: of the language, in the first model.
      centre_D: over languages.
      change_D: of the language's mean.
      centre_change_D: of the mean over languages.
    """

    count: int
    mean_D: Float64[np.ndarray, " D"]
    centre_D: Float64[np.ndarray, " D"]
    change_D: Float64[np.ndarray, " D"]
    centre_change_D: Float64[np.ndarray, " D"]

    def along(self, directions_DR: Float64[np.ndarray, "D R"]) -> "_Lost":
        """Returns the same of what lies along orthonormal directions."""
        return _Lost(self.count, *(of @ directions_DR for of in self[1:]))

    def of(self, found: Distortion) -> Distortion:
        """Returns what is left: the sum of squares about another point than zero."""
        signal = found.signal - self.count * float((2 * self.mean_D - self.centre_D) @ self.centre_D)
        noise = found.noise - self.count * float((2 * self.change_D - self.centre_change_D) @ self.centre_change_D)
        return Distortion(max(0.0, signal), max(0.0, noise), found.count)


def _common_share(
    centre_D: Float64[np.ndarray, " D"], split: Split, energy: Mapping[str, float], specific_share: Mapping[str, float]
) -> dict[str, float]:
    """Returns how much of the energy of either part is that of the mean over languages."""
    whole = statistics.fmean(energy.values())
    specific = statistics.fmean(energy[language] * specific_share[language] for language in energy)
    common = float(np.square(centre_D @ split.specific_DR).sum())
    rest = float(np.square(centre_D).sum()) - common
    parts = {"agnostic": (rest, whole - specific), "specific": (common, specific)}
    return {part: min(1.0, max(0.0, of) / total) if total > 0 else 0.0 for part, (of, total) in parts.items()}


def _change(
    first: Split,
    split: Split,
    ratios: dict[str, dict[str, float]],
    centred: dict[str, dict[str, float]],
    alignment: dict[str, float | None],
) -> Change:
    return Change(
        angles=tuple(principal_angles(first, split).tolist()),
        squared_cosine=squared_cosines(first, split),
        shared_angle=angle_between(first.shared_D, split.shared_D),
        snr_db=ratios,
        centred_snr_db=centred,
        alignment=alignment,
    )
