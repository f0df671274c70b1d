"""A checkpoint as lm-evaluation-harness sees a model: what the harness asks, answered by scoring and generation.

Texts become tokens, and tokens are cut, exactly as the harness's backend for transformers does it, so that both answer
alike item by item.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh
from lm_eval import utils
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import resolve_max_length

from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.checkpoints.stop_tokens import stop_tokens
from jaxprune.errors import RequestError
from jaxprune.evaluation.encoding import prefix_token
from jaxprune.evaluation.generation import Generator
from jaxprune.evaluation.scoring import ContinuationScore, Question, score_continuations, total_work
from jaxprune.harness.generating import TextGenerator
from jaxprune.harness.progress import Showing, showing
from jaxprune.models.fields import with_defaults

BATCH_SIZE = 8
"""Sequences that are continued at a time on each device, where the harness leaves it to the backend."""


class CheckpointLM(TemplateLM):
    """A checkpoint's model, whose weights are read when they are needed.

    For likelihoods one block at a time is in memory; to generate, the whole model has to fit.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        mesh: Mesh,
        dtype: np.dtype,
        host_bytes: int | None = None,
        max_length: int | None = None,
        max_gen_toks: int = 256,
        prefix_token_id: int | None = None,
        seed: int = 0,
        batch_size: int = BATCH_SIZE,
        show: Showing = showing,
    ):
        """Reads the tokenizer.

        Args:
          checkpoint: the model.
          mesh: of devices.
          dtype: of all computation.
          host_bytes: hidden states that may lie in memory; None: half of what the machine has.
          max_length: tokens of context and continuation; None: what the configuration says.
          max_gen_toks: tokens to generate where a task does not say.
          prefix_token_id: stands for an empty context; None: BOS, or else EOS.
          seed: of sampling.
          batch_size: sequences continued at a time on each device; likelihoods are batched by their lengths.
          show: shows how far it is.
        """
        super().__init__()
        self._checkpoint = checkpoint
        self._tokenizer = checkpoint.tokenizer()
        self._mesh = mesh
        self._dtype = dtype
        self._host_bytes = host_bytes
        self._max_length = max_length
        self.max_gen_toks = max_gen_toks
        self._prefix_token = prefix_token_id
        self._seed = seed
        self._batch_size = batch_size
        self._show = show
        self._generator: TextGenerator | None = None

    @property
    def tokenizer(self) -> Any:
        """What the harness takes the chat template from."""
        return self._tokenizer

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return self._tokenizer.eos_token_id  # pyright: ignore[reportReturnType]

    @property
    def prefix_token_id(self) -> int:
        """The token that stands for an empty context."""
        return prefix_token(self._tokenizer) if self._prefix_token is None else self._prefix_token

    @property
    def max_length(self) -> int:
        """Tokens that the model sees at a time."""
        if self._max_length is not None:
            return self._max_length
        named = with_defaults(self._checkpoint.config).get("max_position_embeddings")
        return named if isinstance(named, int) else resolve_max_length(None, self._tokenizer)

    @property
    def tokenizer_name(self) -> str:
        """Tells caches of requests whose chat template is in them."""
        return self._checkpoint.reference.replace("/", "__")

    def get_model_info(self) -> dict[str, Any]:
        """Returns what is written beside the results."""
        model, checkpoint = self._checkpoint.model, self._checkpoint
        owned = [tensor for section in model.sections for tensor in model.owned_tensors(section).values()]
        return {
            "model_num_parameters": sum(int(np.prod(tensor.shape)) for tensor in owned),
            "model_dtype": str(self._dtype),
            "model_sha": checkpoint.fingerprint,
        }

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Returns the tokens of a text, with BOS where the tokenizer puts it and the text does not begin with it."""
        if add_special_tokens is None:
            add_special_tokens = not string.startswith(str(self._tokenizer.decode([self.prefix_token_id])))
        return self._tokenizer(string, add_special_tokens=add_special_tokens, verbose=False)["input_ids"]  # pyright: ignore[reportReturnType]

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Returns a conversation as the tokenizer's template has it; without its system message if that has none."""
        if not self._tokenizer.chat_template:
            raise RequestError(
                f"{self._checkpoint.reference}: the tokenizer has no chat template, so the model was hardly made to "
                "chat; run without --apply_chat_template, or add the template to its files (chat_template.jinja)."
            )

        def fill_in(messages: list[dict[str, str]]) -> str:
            return str(
                self._tokenizer.apply_chat_template(
                    messages,
                    tokenize=False,
                    add_generation_prompt=add_generation_prompt,
                    continue_final_message=not add_generation_prompt,
                )
            )

        import jinja2

        try:
            return fill_in(chat_history)
        except jinja2.TemplateError:
            return fill_in([message for message in chat_history if message["role"] != "system"])

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Returns for each context and continuation the nats, and whether it is what greedy decoding gives."""
        pairs = []
        for request in requests:
            context, continuation, *_ = _arguments(request)
            if context == "":
                tokens = self.tok_encode(continuation, add_special_tokens=False)
                begins_itself = tokens[:1] == [self.prefix_token_id]
                encoded = (tokens[:1], tokens[1:]) if begins_itself else ([self.prefix_token_id], tokens)
            else:
                encoded = self._encode_pair(context, continuation)
            if not encoded[0] or not encoded[1]:
                raise RequestError(
                    f"task {request.task_name}, document {request.doc_id}: the continuation {continuation!r} adds no "
                    f"token to its context; give it a text."
                )
            pairs.append(((context, continuation), *encoded))
        # Requests of one document and context share it; those of several would share no more than that.
        groups = [(request.task_name, request.doc_id) for request in requests]
        return self._loglikelihood_tokens(pairs, disable_tqdm=disable_tqdm, groups=groups)

    def _loglikelihood_tokens(
        self,
        requests: list[tuple[tuple[str, str], list[int], list[int]]],
        disable_tqdm: bool = False,
        groups: Sequence[Hashable] | None = None,
        **kwargs: Any,
    ) -> list[tuple[float, bool]]:
        asked: dict[tuple[Hashable, tuple[int, ...]], list[int]] = {}
        pairs = [self._cut(context, continuation) for _, context, continuation in requests]
        for index, (context, _) in enumerate(pairs):
            asked.setdefault((groups[index] if groups else None, tuple(context)), []).append(index)
        questions = [
            Question(_array(context), tuple(_array(pairs[index][1]) for index in indices))
            for (_, context), indices in asked.items()
        ]
        answers: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        for indices, scores in zip(asked.values(), self._score(questions, disable_tqdm), strict=True):
            for index, score in zip(indices, scores, strict=True):
                answers[index] = (score.nats, score.is_greedy)
        for (texts, _, _), answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial("loglikelihood", texts, answer)
        return answers

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Returns the nats of each text, in windows of the model's length if it is longer."""
        windows = [
            [
                utils.make_disjoint_window(pair)
                for pair in utils.get_rolling_token_windows(
                    self.tok_encode(request.args[0]),
                    prefix_token=self.prefix_token_id,
                    max_seq_len=self.max_length,
                    context_len=1,
                )
            ]
            for request in requests
        ]
        questions = [Question(_array(seen), (_array(told),)) for of_text in windows for seen, told in of_text]
        scores = iter(self._score(questions, disable_tqdm))
        answers = [sum(next(scores)[0].nats for _ in of_text) for of_text in windows]
        for request, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, answer)
        return answers

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Returns how each text goes on, up to what it is to stop at."""
        if self._generator is None:
            checkpoint, mesh = self._checkpoint, self._mesh
            self._generator = TextGenerator(
                generator=Generator(
                    checkpoint.read, checkpoint.model, mesh=mesh, dtype=self._dtype, batch_size=self._batch_size
                ),
                tokenizer=self._tokenizer,
                encode=self.tok_encode,
                stop_tokens=stop_tokens(checkpoint, self._tokenizer),
                max_length=self.max_length,
                max_gen_toks=self.max_gen_toks,
                seed=self._seed,
                show=self._show,
            )
        asked = [(text, settings) for text, settings, *_ in map(_arguments, requests)]
        answers = self._generator.continue_texts(asked, disable_tqdm=disable_tqdm)
        for request, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial("generate_until", request.args, answer)
        return answers

    def _cut(self, context: list[int], continuation: list[int]) -> tuple[list[int], list[int]]:
        """Returns both without what is more than the model sees: its last token is predicted, and not seen."""
        if len(continuation) > self.max_length:
            raise RequestError(
                f"a continuation has {len(continuation)} tokens, and the model sees {self.max_length}; leave such "
                "items out, or raise max_length."
            )
        return context[max(0, len(context) + len(continuation) - self.max_length - 1) :], continuation

    def _score(self, questions: list[Question], disable_tqdm: bool) -> list[tuple[ContinuationScore, ...]]:
        model = self._checkpoint.model
        with self._show("likelihoods", total_work(model, questions), disable=disable_tqdm) as on_tokens:
            return score_continuations(
                self._checkpoint.parameters,
                model,
                questions,
                mesh=self._mesh,
                dtype=self._dtype,
                host_bytes=self._host_bytes,
                on_tokens=on_tokens,
            )


def _arguments(request: Instance) -> tuple[Any, ...]:
    # Annotated there as a tuple of one that is never read.
    return request.args


def _array(tokens: Sequence[int]) -> np.ndarray:
    return np.asarray(tokens, np.int32)
