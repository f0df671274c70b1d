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
from jaxprune.models.causal_lm import HEAD, CausalLM
from jaxprune.sharding import place_params
from jaxprune.sweep import OnTokens, ReadSection, Sweep, make_microbatches
from jaxprune.typing import Params

# Hidden states of the windows that go through the model together. Past it, languages take turns and the blocks
# are read again: time for memory.
_HIDDEN_BYTES = 4 * 2**30
# Logits in memory at a time, in numbers.
_LOGITS = 2**27


@dataclasses.dataclass(frozen=True)
class LanguagePerplexity:
    """How well one language's text is predicted.

    Attributes:
      perplexity: exp of ``nats_per_token``; depends on the tokenizer.
      nats_per_token: mean negative log-likelihood.
      bits_per_byte: total bits over the UTF-8 bytes of the predicted text, comparable between tokenizers; None without
        text.
      tokens: tokens predicted.
      windows: windows scored.
    """

    perplexity: float
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
            first = (
                ""
                if np.dtype(dtype) == np.float32
                else "compute in float32 (--compute-dtype float32), and if they stay, "
            )
            raise RequestError(
                f"the logits of the {batch.language} text hold NaN or infinite values in {np.dtype(dtype)}; {first}"
                "check the checkpoint's final norm and head."
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
    for group in _affordable_groups(windows, model.config.hidden_size * np.dtype(dtype).itemsize):
        tokens = {language: windows[language].tokens_NT for language in group}
        losses = token_losses(read, model, tokens, mesh=mesh, dtype=dtype, on_tokens=on_tokens)
        results |= {language: _summarise(losses[language], windows[language].num_bytes) for language in group}
    return results


def _affordable_groups(windows: Mapping[str, Windows], bytes_per_token: int) -> list[list[str]]:
    """Returns the languages in groups whose hidden states fit the limit together, at least one in each."""
    groups: list[list[str]] = []
    room = 0
    for language, of_language in windows.items():
        needed = of_language.tokens_NT.size * bytes_per_token
        if not groups or needed > room:
            groups.append([])
            room = _HIDDEN_BYTES
        groups[-1].append(language)
        room -= needed
    return groups


def _summarise(losses: np.ndarray, num_bytes: int | None) -> LanguagePerplexity:
    total = float(np.sum(losses, dtype=np.float64))
    mean = total / losses.size
    return LanguagePerplexity(
        perplexity=math.exp(mean) if mean < 700 else math.inf,
        nats_per_token=mean,
        bits_per_byte=total / math.log(2) / num_bytes if num_bytes else None,
        tokens=losses.size,
        windows=len(losses),
    )
