"""Perplexity: exp of the mean negative log-likelihood of a token, here of windows scored from their second token on.

Shapes: N windows, B windows in a microbatch, T tokens, D hidden size, V vocabulary, C tokens scored together.
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
from jaxtyping import Array, Float, Int

from jaxprune.data.windows import Windows
from jaxprune.errors import RequestError
from jaxprune.evaluation.intervals import Interval, estimate_ratio
from jaxprune.evaluation.turns import take_turns
from jaxprune.models.causal_lm import HEAD, CausalLM
from jaxprune.sharding import place_params
from jaxprune.sweep import OnTokens, ReadSection, Sweep, make_microbatches
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


@functools.partial(jax.jit, static_argnames=("model",))
def _score(
    model: CausalLM, params: Params, x_1CD: Float[Array, "1 C D"], labels_1C: Int[Array, "1 C"]
) -> Float[Array, "1 C"]:
    logits_1CV = model.unembed(params, x_1CD)
    return optax.softmax_cross_entropy_with_integer_labels(logits_1CV, labels_1C)


def _losses(
    model: CausalLM, params: Params, x_BTD: Float[Array, "B T D"], tokens_BT: Int[np.ndarray, "B T"]
) -> Float[np.ndarray, "B T_less_1"]:
    """Returns the negative log-likelihood of every token but the first, in nats.

    Logits of a vocabulary of 256 thousand dwarf everything else, so they are made for a slice of the tokens at a time;
    in a loop of Python's, because XLA's loops on a CPU run what is in them on fewer threads.
    """
    batch, num_tokens, width = x_BTD.shape
    count = batch * (num_tokens - 1)
    chunk = min(count, max(16, _LOGITS // model.config.vocab_size))
    fill = -count % chunk
    x_ND = jnp.pad(x_BTD[:, :-1].reshape(count, width), ((0, fill), (0, 0)))
    labels_N = jnp.pad(jnp.asarray(tokens_BT[:, 1:]).reshape(count), (0, fill))
    losses = [
        np.asarray(_score(model, params, x_ND[None, start : start + chunk], labels_N[None, start : start + chunk]))
        for start in range(0, count, chunk)
    ]
    return np.concatenate(losses, axis=1)[0, :count].reshape(batch, num_tokens - 1)


def token_losses(
    read: ReadSection,
    model: CausalLM,
    windows: Mapping[str, np.ndarray],
    *,
    mesh: Mesh,
    dtype: np.dtype,
    on_tokens: OnTokens = lambda tokens: None,
) -> dict[str, np.ndarray]:
    """Returns for each language the nats of every predicted token, float32 ``[N, T - 1]``.

    Args:
      read: gives a section's weights; at most one block is held at a time.
      windows: int32 token ids ``[N, T]`` by language, of one length.
      on_tokens: told the tokens computed, counted once a block and once for the head.
    """
    languages = [language for language, tokens in windows.items() for _ in tokens]
    tokens_NT = np.concatenate(list(windows.values()))
    batches = make_microbatches(tokens_NT, languages, mesh=mesh)
    sweep = Sweep(model, batches, mesh=mesh, dtype=dtype)
    sweep.run_all(read, on_tokens)
    params = place_params(mesh, read(HEAD))
    losses: dict[str, list[np.ndarray]] = {language: [] for language in windows}
    for batch, x_BTD in sweep.states():
        scored = _losses(model, params, x_BTD, batch.tokens_BT)
        scored = scored[: batch.num_sequences]
        if not np.isfinite(scored).all():
            raise RequestError(
                f"the logits of the {batch.language} text hold NaN or infinite values in {np.dtype(dtype)}; compute in "
                "float32 (--compute-dtype float32), and if they stay, check the checkpoint's head."
            )
        losses[batch.language].append(scored)
        on_tokens(batch.num_tokens)
    return {language: np.concatenate(parts) for language, parts in losses.items()}


def perplexities(
    read: ReadSection,
    model: CausalLM,
    windows: Mapping[str, Windows],
    *,
    mesh: Mesh,
    dtype: np.dtype,
    on_tokens: OnTokens = lambda tokens: None,
) -> dict[str, LanguagePerplexity]:
    """Returns the perplexity of each language's windows."""
    results = {}
    sizes = {language: of_language.tokens_NT.size for language, of_language in windows.items()}
    for group in take_turns(sizes, model.config.hidden_size * np.dtype(dtype).itemsize):
        tokens = {language: windows[language].tokens_NT for language in group}
        losses = token_losses(read, model, tokens, mesh=mesh, dtype=dtype, on_tokens=on_tokens)
        results |= {language: _summarise(losses[language], windows[language].num_bytes) for language in group}
    return results


def _summarise(losses: np.ndarray, num_bytes: int | None) -> LanguagePerplexity:
    nats_N = losses.astype(np.float64).sum(axis=1)
    estimate = estimate_ratio(nats_N, np.full(len(losses), losses.shape[1]))
    interval = None
    if estimate.interval is not None:
        # No text is predicted better than with certainty, whatever few windows suggest.
        low, high = (max(0.0, nats) for nats in estimate.interval)
        interval = (_exp(low), _exp(high))
    return LanguagePerplexity(
        perplexity=_exp(estimate.value),
        interval=interval,
        nats_per_token=estimate.value,
        bits_per_byte=float(nats_N.sum()) / math.log(2) / num_bytes if num_bytes else None,
        tokens=losses.size,
        windows=len(losses),
    )


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf
