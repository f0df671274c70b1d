"""Texts continued as lm-evaluation-harness's tasks ask for it: up to a stop sequence, greedily or drawn."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from transformers import PreTrainedTokenizerBase

from jaxprune.errors import RequestError
from jaxprune.evaluation.generation import Generator, IsComplete
from jaxprune.evaluation.sampling import GREEDY, Sampling
from jaxprune.harness.progress import Showing, showing

_SAMPLING = ("temperature", "top_p", "top_k")


@dataclasses.dataclass(frozen=True)
class TextGenerator:
    """A generator with what is needed to give it texts.

    Attributes:
      generator: continues tokens.
      tokenizer: of its model.
      encode: makes tokens of a text.
      stop_tokens: end a continuation whatever else does.
      max_length: tokens that the model sees at a time; a text that is too long loses its beginning.
      max_gen_toks: to generate, where a request does not say.
      seed: of what is drawn. A text that is asked for again, as a task with repeats does, is drawn anew.
      show: shows how far it is.
    """

    generator: Generator
    tokenizer: PreTrainedTokenizerBase
    encode: Callable[[str], list[int]]
    stop_tokens: Collection[int]
    max_length: int
    max_gen_toks: int
    seed: int
    show: Showing = showing

    def continue_texts(self, requests: Sequence[tuple[str, dict[str, Any]]], *, disable_tqdm: bool) -> list[str]:
        """Returns the continuation of each text, in their order.

        Args:
          requests: each a text, and the harness's ``generation_kwargs`` for it.
          disable_tqdm: whether to show no progress.

        Raises:
          RequestError: the ``generation_kwargs`` hold what there is not, or leave no room for the text.
        """
        groups: dict[tuple[str, int], list[int]] = {}
        seen: Counter[tuple[str, str]] = Counter()
        for index, (text, asked) in enumerate(requests):
            key = json.dumps(asked, sort_keys=True)
            groups.setdefault((key, seen[text, key]), []).append(index)
            seen[text, key] += 1
        texts: dict[int, str] = {}
        for (key, repeat), indices in groups.items():
            found = self._continue([requests[index][0] for index in indices], json.loads(key), repeat, disable_tqdm)
            texts |= zip(indices, found, strict=True)
        return [texts[index] for index in range(len(requests))]

    def _continue(self, texts: list[str], asked: dict[str, Any], repeat: int, disable_tqdm: bool) -> list[str]:
        """Returns the continuations of texts for which the same is asked."""
        asked = dict(normalize_gen_kwargs(asked, self.max_gen_toks))
        end = self.tokenizer.eos_token
        until = handle_stop_sequences(asked.pop("until"), eos=str(end) if end else None)
        length = int(asked.pop("max_gen_toks"))
        sampling = _read_sampling(asked, seed=(self.seed + repeat) % 2**32)
        if length >= self.max_length:
            raise RequestError(
                f"{length} tokens are to be generated, and the model sees {self.max_length} in all; ask for fewer "
                "(max_gen_toks)."
            )
        prompts = [self.encode(text)[length - self.max_length :] for text in texts]
        with self.show("continuations", length * len(prompts), disable=disable_tqdm) as on_tokens:
            generated = self.generator.generate(
                prompts,
                max_new_tokens=length,
                stop_tokens=self.stop_tokens,
                sampling=sampling,
                is_complete=_holds(self.tokenizer, until),
                on_tokens=on_tokens,
            )
        continuations = [completion.tokens_T for completion in generated.completions]
        decoded = [str(self.tokenizer.decode(tokens_T, skip_special_tokens=True)) for tokens_T in continuations]
        return [postprocess_generated_text(text, until, None) for text in decoded]


def _read_sampling(asked: dict[str, Any], *, seed: int) -> Sampling:
    """Returns how tokens are chosen, from the normalised ``generation_kwargs`` that are left."""
    is_drawn = asked.pop("do_sample")
    given = {name: asked.pop(name) for name in _SAMPLING if name in asked}
    if asked:
        raise RequestError(
            f"generation_kwargs hold {', '.join(sorted(asked))}, which jaxprune does not have; it has until, "
            f"max_gen_toks, do_sample, {', '.join(_SAMPLING)}."
        )
    if not is_drawn or not given.get("temperature"):
        return GREEDY
    return Sampling(
        temperature=float(given["temperature"]),
        top_p=float(given.get("top_p", 1.0)),
        top_k=int(given.get("top_k", 0)),
        seed=seed,
    )


def _holds(tokenizer: PreTrainedTokenizerBase, until: Sequence[str]) -> IsComplete:
    """Returns whether tokens end in a text that holds a stop sequence."""
    # Every token that is a text is a byte of it at least.
    tail = max((len(stop.encode("utf-8")) for stop in until), default=0) + 1

    def is_complete(tokens: Sequence[int]) -> bool:
        text = str(tokenizer.decode(np.asarray(tokens[-tail:]), skip_special_tokens=False))
        return any(stop and stop in text for stop in until)

    return is_complete
