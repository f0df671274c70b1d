"""Perplexity: exp of the mean negative log-likelihood of a token, here of windows scored from their second token on.

Shapes: N windows, B windows in a microbatch, T tokens, D hidden size, V vocabulary, C tokens of a window scored
together.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Float64, Int

from jaxprune.data.windows import Windows
from jaxprune.distributed import gather_rows, together
from jaxprune.errors import RequestError
from jaxprune.evaluation.intervals import Interval, estimate_ratio
from jaxprune.evaluation.likelihood import label_log_likelihoods, words_at_a_time
from jaxprune.microbatches import make_microbatches
from jaxprune.models.causal_lm import HEAD, CausalLM
from jaxprune.sharding import place_batch, place_params
from jaxprune.sweep import OnTokens, ReadSection, Sweep, what_to_do
from jaxprune.typing import Params

# Logits in memory at a time, in numbers.
_LOGITS = 2**27


@dataclasses.dataclass(frozen=True)
class LanguagePerplexity:
    """How well one language's text is predicted.

    Attributes:
      perplexity: exp of ``nats_per_token``; depends on the tokenizer.
      interval: where the perplexity of more such text is, 95 %, by a bootstrap over windows with a fixed seed (over
        fewer than 16, Student's t: see ``jaxprune.evaluation.intervals``). Its logarithm is the interval of
        ``nats_per_token``. None with one window.
      nats_per_token: mean negative log-likelihood.
      bits_per_byte: total bits over the UTF-8 bytes of the predicted text, comparable between tokenizers; None without
        text.
      tokens: tokens predicted.
      windows: windows scored.
    """

    perplexity: float
    interval: Interval | None
    nats_per_token: float
    bits_per_byte: float | None
    tokens: int
    windows: int


@dataclasses.dataclass(frozen=True)
class ScoredWindows:
    """How well each window of one language is predicted: what perplexity is a summary of, and paired tests compare.

    Attributes:
      nats_N: negative log-likelihood of a window's predicted tokens, all together.
      tokens_N: how many these are.
      num_bytes: UTF-8 bytes of the predicted text of all windows; None without text.
    """

    nats_N: Float64[np.ndarray, " N"]
    tokens_N: Int[np.ndarray, " N"]
    num_bytes: int | None

    def summarise(self) -> LanguagePerplexity:
        """Returns the perplexity of all windows."""
        estimate = estimate_ratio(self.nats_N, self.tokens_N)
        interval = None
        if estimate.interval is not None:
            # No text is predicted better than with certainty, whatever few windows suggest.
            low, high = (max(0.0, nats) for nats in estimate.interval)
            interval = (_exp(low), _exp(high))
        return LanguagePerplexity(
            perplexity=_exp(estimate.value),
            interval=interval,
            nats_per_token=estimate.value,
            bits_per_byte=float(self.nats_N.sum()) / math.log(2) / self.num_bytes if self.num_bytes else None,
            tokens=int(self.tokens_N.sum()),
            windows=len(self.nats_N),
        )


@functools.partial(jax.jit, static_argnames=("model", "size", "words"))
def _score(
    model: CausalLM,
    params: Params,
    x_BTD: Float[Array, "B T D"],
    tokens_BT: Int[Array, "B T"],
    start: Int[Array, ""],
    size: int,
    words: int,
) -> Float[Array, "B C"]:
    """Returns the nats of the ``size`` tokens after token ``start`` of each window."""
    x_BCD = jax.lax.dynamic_slice_in_dim(x_BTD, start, size, axis=1)
    labels_BC = jax.lax.dynamic_slice_in_dim(tokens_BT, start + 1, size, axis=1)
    if words == model.config.vocab_size:
        return optax.softmax_cross_entropy_with_integer_labels(model.unembed(params, x_BCD), labels_BC)
    x_PD, labels_P = x_BCD.reshape(-1, x_BCD.shape[-1]), labels_BC.reshape(-1)
    nats_P, _ = label_log_likelihoods(model, params, x_PD, jnp.arange(labels_P.size), labels_P, words=words)
    return -nats_P.reshape(labels_BC.shape)


def _losses(
    model: CausalLM,
    params: Params,
    x_BTD: Float[Array, "B T D"],
    tokens_BT: Int[Array, "B T"],
    *,
    per_device: int,
    words: int,
) -> Float[np.ndarray, "B T_less_1"]:
    """Returns the negative log-likelihood of every token but the first, in nats.

    Logits of a vocabulary of 256 thousand dwarf everything else, so they are made for a few tokens of every window at a
    time.

    Args:
      per_device: windows that one device has.
      words: of which logits are made at a time.
    """
    count = tokens_BT.shape[1] - 1
    num_chunks = -(-count * per_device * words // _LOGITS)
    size = -(-count // min(num_chunks, count))
    # The last chunk starts early enough to be as long as the others.
    starts = [min(start, count - size) for start in range(0, count, size)]
    chunks = [gather_rows(_score(model, params, x_BTD, tokens_BT, np.int32(start), size, words)) for start in starts]
    losses = np.empty((len(tokens_BT), count), np.float32)
    for start, chunk in zip(starts, chunks, strict=True):
        losses[:, start : start + size] = chunk
    return losses


def token_losses(
    read: ReadSection,
    model: CausalLM,
    windows: Mapping[str, np.ndarray],
    *,
    mesh: Mesh,
    dtype: np.dtype,
    host_bytes: int | None = None,
    on_tokens: OnTokens = lambda tokens: None,
) -> dict[str, np.ndarray]:
    """Returns for each language the nats of every predicted token, float32 ``[N, T - 1]``.

    Args:
      read: gives a section's weights; at most one block is held at a time.
      windows: int32 token ids ``[N, T]`` by language, of one length.
      host_bytes: hidden states that may lie in this process's memory; None: half of what the machine has.
      on_tokens: told the tokens computed, counted once a block and once for the head.
    """
    languages = [language for language, tokens in windows.items() for _ in tokens]
    tokens_NT = np.concatenate(list(windows.values()))
    batches = make_microbatches(tokens_NT, languages, mesh=mesh)
    sweep = Sweep(model, batches, mesh=mesh, dtype=dtype, host_bytes=host_bytes)
    sweep.run_all(read, on_tokens)
    with together():
        params = place_params(mesh, read(HEAD))
    words = words_at_a_time(model, mesh)
    losses: dict[str, list[np.ndarray]] = {language: [] for language in windows}
    for batch, x_BTD in sweep.states():
        tokens_BT = place_batch(mesh, batch.tokens_BT)
        per_device = len(batch.tokens_BT) // mesh.shape["data"]
        scored = _losses(model, params, x_BTD, tokens_BT, per_device=per_device, words=words)
        scored = scored[: batch.num_sequences]
        if not np.isfinite(scored).all():
            raise RequestError(
                f"the logits of the {batch.language} text hold NaN or infinite values in {np.dtype(dtype)}; "
                f"{what_to_do(dtype)}check the checkpoint's final norm and head."
            )
        losses[batch.language].append(scored)
        on_tokens(batch.num_tokens)
    return {language: np.concatenate(parts) for language, parts in losses.items()}


def score_windows(
    read: ReadSection,
    model: CausalLM,
    windows: Mapping[str, Windows],
    *,
    mesh: Mesh,
    dtype: np.dtype,
    host_bytes: int | None = None,
    on_tokens: OnTokens = lambda tokens: None,
) -> dict[str, ScoredWindows]:
    """Returns the likelihood of every window, by language; arguments as of ``token_losses``."""
    tokens = {language: of_language.tokens_NT for language, of_language in windows.items()}
    losses = token_losses(read, model, tokens, mesh=mesh, dtype=dtype, host_bytes=host_bytes, on_tokens=on_tokens)
    return {language: add_up(of_language, windows[language].num_bytes) for language, of_language in losses.items()}


def add_up(losses: Float[np.ndarray, "N T_less_1"], num_bytes: int | None) -> ScoredWindows:
    """Returns the likelihood of each window from that of its tokens."""
    return ScoredWindows(losses.astype(np.float64).sum(axis=1), np.full(len(losses), losses.shape[1]), num_bytes)


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf
