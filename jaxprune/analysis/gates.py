"""How often the gates of a gated MLP are open: counted for every neuron, by language, while text goes through a model.

A gated MLP is ``(act(x W_gate) * x W_up) W_down``; neuron f is column f of the first two and row f of the last, and its
gate is open for a token where ``act(x W_gate)_f > 0`` (Tang et al., 2024, https://arxiv.org/abs/2402.16438). SiLU and
GELU, by tanh or not, have the sign of what they are given (``x sigmoid(x)``, ``x Phi(x)``): so it is open where
``x W_gate`` with its bias is positive, and no activation is computed. Floats that underflow make the one difference: of
a value below the smallest normal one, the activation may be zero.

What a tokenizer puts before a text (BOS) is counted out: it is one and the same in every language and of huge norm, and
would be a larger part of short windows than of long ones. The published code counts every token of its windows; whether
the study that this project follows did is not known.

Shapes: B sequences in a microbatch, T tokens, D hidden size, L languages, G groups of a language's windows, N blocks, F
neurons of a block.
"""

import copy
import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Int64, UInt32

from jaxprune.distributed import gather_rows
from jaxprune.microbatches import Microbatch
from jaxprune.models.causal_lm import CausalLM
from jaxprune.models.layers import product
from jaxprune.typing import Activations, Params

NUM_GROUPS = 8
"""Groups that a language's windows are counted in. Even: every other window is every other group."""

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
    """Sums of what ``OpenGates`` has seen: by language, group of windows, block and neuron.

    Window i of a language is of group ``i mod 8``: as many groups as it has windows, where it has fewer. So memory is
    that of no text: four bytes for each language, group, block and neuron of a model, which are 587 MB for eight
    languages in Llama-3-70B (80 blocks of 28,672 neurons). They suffice for 4 billion tokens of a group.

    Attributes:
      languages: names, in order.
      observe: the observer whose results ``accumulate`` takes.
      opened_LGNF: tokens for which a gate is open.
      tokens_LGN: tokens seen, leading ones left out.
    """

    def __init__(self, languages: Sequence[str], model: CausalLM, *, leading: int = 0):
        """Starts at zero.

        Args:
          leading: tokens at the start of every sequence that are not counted: ``len(window_start(tokenizer))``.
        """
        self.languages = tuple(languages)
        self.observe = OpenGates(leading)
        sizes = len(self.languages), NUM_GROUPS, model.num_blocks
        self.opened_LGNF: UInt32[np.ndarray, "L G N F"] = np.zeros((*sizes, model.config.intermediate_size), np.uint32)
        self.tokens_LGN: Int64[np.ndarray, "L G N"] = np.zeros(sizes, np.int64)
        self._windows_LGN = np.zeros(sizes, np.int64)

    def accumulate(self, block: int, batch: Microbatch, observed_BF: Int32[Array | np.ndarray, "B F"]) -> None:
        """Adds what was observed in a block of a microbatch, as ``on_observed`` is given it."""
        language = self.languages.index(batch.language)
        tokens = batch.tokens_BT.shape[1] - self.observe.leading
        rows = observed_BF if isinstance(observed_BF, np.ndarray) else gather_rows(observed_BF)
        seen = int(self._windows_LGN[language, :, block].sum())
        for window, row_F in enumerate(rows[batch.weights_B > 0], seen):
            group = window % NUM_GROUPS
            self.opened_LGNF[language, group, block] += row_F.astype(np.uint32)
            self.tokens_LGN[language, group, block] += tokens
            self._windows_LGN[language, group, block] += 1

    def every_other(self, first: int = 0) -> "GateCounts":
        """Returns the counts of every other sequence of each language; to be read only.

        Args:
          first: 0 for those that begin with the first sequence, 1 for the rest.
        """
        half = copy.copy(self)
        half.opened_LGNF, half.tokens_LGN, half._windows_LGN = (
            of[:, first::2] for of in (self.opened_LGNF, self.tokens_LGN, self._windows_LGN)
        )
        # They are the very same numbers.
        half.opened_LGNF.flags.writeable = half.tokens_LGN.flags.writeable = False
        return half

    def summed(self) -> tuple[Int64[np.ndarray, "L N F"], Int64[np.ndarray, "L N"]]:
        """Returns ``opened_LGNF`` and ``tokens_LGN`` of all groups together."""
        return self.opened_LGNF.sum(axis=1, dtype=np.int64), self.tokens_LGN.sum(axis=1)

    @property
    def counts(self) -> dict[str, Int64[np.ndarray, "N F"]]:
        """Tokens for which a gate is open, by language."""
        return dict(zip(self.languages, self.summed()[0], strict=True))

    @property
    def tokens(self) -> dict[str, int]:
        """Tokens that every block has seen, by language."""
        return self._in_every_block(self.tokens_LGN)

    @property
    def windows(self) -> dict[str, int]:
        """Sequences that every block has seen, by language."""
        return self._in_every_block(self._windows_LGN)

    def _in_every_block(self, of_LGN: Int64[np.ndarray, "L G N"]) -> dict[str, int]:
        return dict(zip(self.languages, of_LGN.sum(axis=1).min(axis=1).tolist(), strict=True))
