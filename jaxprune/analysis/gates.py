"""How often the gates of a gated MLP are open: counted for every neuron, by language, while text goes through a model.

A gated MLP is ``(act(x W_gate) * x W_up) W_down``; neuron f is column f of the first two and row f of the last, and its
gate is open for a token where ``act(x W_gate)_f > 0`` (Tang et al., 2024, https://arxiv.org/abs/2402.16438). SiLU and
GELU, by tanh or not, have the sign of what they are given (``x sigmoid(x)``, ``x Phi(x)``): so it is open where
``x W_gate`` with its bias is positive, and no activation is computed. Floats that underflow make the one difference: of
a value below the smallest normal one, the activation may be zero.

What a tokenizer puts before a text (BOS) is counted out: it is one and the same in every language and of huge norm, and
would be a larger part of short windows than of long ones. The published code counts every token of its windows.

Shapes: B sequences in a microbatch, T tokens, D hidden size, L languages, N blocks, F neurons of a block.
"""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Int64

from jaxprune.distributed import gather_rows
from jaxprune.microbatches import Microbatch
from jaxprune.models.causal_lm import CausalLM
from jaxprune.models.layers import product
from jaxprune.typing import Activations, Params

_GATE = "gate_proj"


@dataclasses.dataclass(frozen=True)
class OpenGates:
    """An observer for ``Sweep.advance``; equal ones share a compilation.

    Attributes:
      leading: tokens at the start of every sequence that are not counted.
    """

    leading: int = 0

    def __call__(self, model: CausalLM, params: Params, activations: Activations) -> Int32[Array, "B F"]:
        """Returns for each sequence and neuron for how many tokens its gate is open."""
        # The block's own product, which XLA finds to be the same and makes once.
        x_BTD = activations[model.family.reads[_GATE]]
        gate_BTF = product("BTD,DF->BTF", x_BTD, jnp.asarray(params[f"{_GATE}/kernel"]).astype(x_BTD.dtype))
        if f"{_GATE}/bias" in params:
            gate_BTF += jnp.expand_dims(jnp.asarray(params[f"{_GATE}/bias"]).astype(x_BTD.dtype), (0, 1))
        return jnp.sum(gate_BTF[:, self.leading :] > 0, axis=1, dtype=jnp.int32)


class GateCounts:
    """Sums of what ``OpenGates`` has seen: by language, block and neuron, in 64 bits; the memory of no text.

    Beside the languages there are as many *mixed* ones, each of windows of all languages: window i of language l is in
    mixture ``(i + l) mod L``. They differ in nothing but the windows that they happen to have, so what is found among
    them is what would be found by chance. Where a language's windows do not divide by L, mixtures differ a little in
    their languages too; with fewer than L windows they say nothing (``is_mixed``).

    Attributes:
      languages: names, in order.
      observe: the observer whose results ``accumulate`` takes.
      opened_LNF: tokens for which a gate is open.
      tokens_LN: tokens seen, leading ones left out.
      mixed_LNF: as ``opened_LNF``, of the mixtures.
      mixed_tokens_LN: as ``tokens_LN``, of the mixtures.
    """

    def __init__(self, languages: Sequence[str], model: CausalLM, *, leading: int = 0):
        """Starts at zero.

        Args:
          leading: tokens at the start of every sequence that are not counted: ``len(window_start(tokenizer))``.
        """
        self.languages = tuple(languages)
        self.observe = OpenGates(leading)
        sizes = len(self.languages), model.num_blocks
        self.opened_LNF = np.zeros((*sizes, model.config.intermediate_size), np.int64)
        self.mixed_LNF = np.zeros_like(self.opened_LNF)
        self.tokens_LN = np.zeros(sizes, np.int64)
        self.mixed_tokens_LN = np.zeros(sizes, np.int64)
        self._windows_LN = np.zeros(sizes, np.int64)

    def accumulate(self, block: int, batch: Microbatch, observed_BF: Int32[Array | np.ndarray, "B F"]) -> None:
        """Adds what was observed in a block of a microbatch, as ``on_observed`` is given it."""
        language = self.languages.index(batch.language)
        tokens = batch.tokens_BT.shape[1] - self.observe.leading
        rows = observed_BF if isinstance(observed_BF, np.ndarray) else gather_rows(observed_BF)
        for row_F in rows[batch.weights_B > 0]:
            mixture = (self._windows_LN[language, block] + language) % len(self.languages)
            self.opened_LNF[language, block] += row_F
            self.mixed_LNF[mixture, block] += row_F
            self.tokens_LN[language, block] += tokens
            self.mixed_tokens_LN[mixture, block] += tokens
            self._windows_LN[language, block] += 1

    def windows_in(self, block: int, language: str) -> int:
        """Returns how many sequences of a language a block has seen."""
        return int(self._windows_LN[self.languages.index(language), block])

    @property
    def counts(self) -> dict[str, Int64[np.ndarray, "N F"]]:
        """Tokens for which a gate is open, by language."""
        return dict(zip(self.languages, self.opened_LNF, strict=True))

    @property
    def tokens(self) -> dict[str, int]:
        """Tokens that every block has seen, by language."""
        return {language: int(of_N.min()) for language, of_N in zip(self.languages, self.tokens_LN, strict=True)}

    @property
    def windows(self) -> dict[str, int]:
        """Sequences that every block has seen, by language."""
        return {language: int(of_N.min()) for language, of_N in zip(self.languages, self._windows_LN, strict=True)}

    @property
    def is_mixed(self) -> bool:
        """Whether every mixture has a window of every language."""
        return min(self.windows.values()) >= len(self.languages)
