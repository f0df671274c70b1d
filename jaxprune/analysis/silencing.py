"""The causal test of language-specific neurons: silence those of one language, and see whose text suffers.

As published (Tang et al., 2024) a silenced neuron's gate is zero for every token. Its hidden value, gate times up, is
then zero, and all that leaves the MLP of it is that value times its row of ``down_proj``'s kernel: so that row is
zeroed instead, and the model is an ordinary one. In a family whose MLP has a norm behind it (Gemma 3) it is the same.

Any neurons matter a little. What a language's own do is therefore set beside what as many others do, drawn at random,
with as many in every block, among those that belong to no language.

Shapes: N blocks, F neurons of a block, L languages.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool

from jaxprune.data.windows import Windows
from jaxprune.evaluation.intervals import Estimate
from jaxprune.evaluation.perplexity import ScoredWindows, score_windows
from jaxprune.evaluation.significance import paired_perplexity
from jaxprune.models.causal_lm import CausalLM, block_section
from jaxprune.sharding import Index
from jaxprune.sweep import OnTokens, ReadSection
from jaxprune.typing import Params

_KERNEL = "down_proj/kernel"


class _Silenced:
    """``down_proj``'s kernel, ``[F, D]``, with the rows of silenced neurons zero; read as far as it is indexed."""

    def __init__(self, kernel: Any, is_silent_F: Bool[np.ndarray, " F"]):
        self._kernel, self._is_silent_F = kernel, is_silent_F
        self.shape, self.dtype = kernel.shape, kernel.dtype

    def __getitem__(self, index: Index) -> np.ndarray:
        rows = index[0] if index else slice(None)
        return np.where(self._is_silent_F[rows, None], np.zeros((), self.dtype), np.asarray(self._kernel[index]))


def silence(read: ReadSection, is_silent_NF: Bool[np.ndarray, "N F"]) -> ReadSection:
    """Returns a reader of the same model with some neurons silenced."""
    silent = {block_section(index): of_F for index, of_F in enumerate(is_silent_NF) if of_F.any()}

    def read_silenced(section: str) -> Params:
        params = read(section)
        if section not in silent:
            return params
        return {**params, _KERNEL: _Silenced(params[_KERNEL], silent[section])}

    return read_silenced


def draw_others(
    of_language_NF: Bool[np.ndarray, "N F"], is_specific_NF: Bool[np.ndarray, "N F"], *, seed: tuple[int, ...]
) -> Bool[np.ndarray, "N F"]:
    """Draws as many neurons of every block as a language has there, among those that are specific to none.

    Where too few of a block are left, these are all.
    """
    rng = np.random.default_rng(seed)
    drawn_NF = np.zeros_like(of_language_NF)
    for drawn_F, of_F, is_specific_F in zip(drawn_NF, of_language_NF, is_specific_NF, strict=True):
        others = np.flatnonzero(~is_specific_F)
        drawn_F[rng.permutation(others)[: of_F.sum()]] = True
    return drawn_NF


@dataclasses.dataclass(frozen=True)
class Effect:
    """What silencing some neurons does.

    Attributes:
      silent: which, by block.
      change: by language of the text, in nats a token: log of silenced by whole perplexity, paired by window.
    """

    silent: Sequence[Sequence[int]]
    change: Mapping[str, Estimate]

    @property
    def neurons(self) -> int:
        """How many."""
        return sum(map(len, self.silent))


@dataclasses.dataclass(frozen=True)
class Effects:
    """What silencing the neurons of one language does, and what as many others do.

    Attributes:
      own: of the language's neurons.
      others: of one random draw of others.
      beyond: of the language's own text: log of perplexity with its neurons silent by that with the others silent, in
        nats a token, paired by window.
    """

    own: Effect
    others: Effect
    beyond: Estimate


def passes(num_languages: int) -> int:
    """Returns how often ``causal_test`` sends all text through the model: whole, and twice for each language."""
    return 1 + 2 * num_languages


def causal_test(
    read: ReadSection,
    model: CausalLM,
    windows: Mapping[str, Windows],
    members_LNF: Bool[np.ndarray, "L N F"],
    *,
    mesh: Mesh,
    dtype: np.dtype,
    seed: int = 0,
    on_tokens: OnTokens = lambda tokens: None,
    on_phase: Callable[[str], None] = lambda name: None,
) -> dict[str, Effects | None]:
    """Silences each language's neurons, and random others, and measures the perplexity of every language.

    Args:
      windows: text by language.
      members_LNF: which neurons belong to each of these languages, in their order.
      seed: draws the others.
      on_tokens: told the tokens computed, or spared, once a block and once for the head, ``passes`` times.
      on_phase: told what is silenced.

    Returns:
      By language silenced; None for one without neurons, of which nothing is computed. Intervals are over windows
      (``jaxprune.evaluation.intervals``): what other text would show.

    Raises:
      RequestError: activations or logits are not finite.
    """

    def score(is_silent_NF: Bool[np.ndarray, "N F"]) -> dict[str, ScoredWindows]:
        return score_windows(silence(read, is_silent_NF), model, windows, mesh=mesh, dtype=dtype, on_tokens=on_tokens)

    def spare(num_passes: int) -> None:
        on_tokens(num_passes * (model.num_blocks + 1) * sum(of.tokens_NT.size for of in windows.values()))

    if not members_LNF.any():
        spare(passes(len(windows)))
        return dict.fromkeys(windows)
    on_phase("nothing silenced")
    whole = score(np.zeros_like(members_LNF[0]))

    def beyond(scored: ScoredWindows, other: ScoredWindows) -> Estimate:
        return paired_perplexity(scored.nats_N, other.nats_N, other.tokens_N)

    def effect(is_silent_NF: Bool[np.ndarray, "N F"], scored: Mapping[str, ScoredWindows]) -> Effect:
        change = {language: beyond(scored[language], whole[language]) for language in windows}
        return Effect([np.flatnonzero(of_F).tolist() for of_F in is_silent_NF], change)

    is_specific_NF = np.asarray(members_LNF.any(axis=0))
    found: dict[str, Effects | None] = dict.fromkeys(windows)
    for index, (language, of_NF) in enumerate(zip(windows, members_LNF, strict=True)):
        if not of_NF.any():
            spare(2)
            continue
        on_phase(f"{language} silenced")
        with_own = score(of_NF)
        on_phase(f"as many others as {language}")
        others_NF = draw_others(of_NF, is_specific_NF, seed=(seed, index))
        with_others = score(others_NF)
        found[language] = Effects(
            effect(of_NF, with_own), effect(others_NF, with_others), beyond(with_own[language], with_others[language])
        )
    return found
