"""Reads a Hugging Face ``config.json`` so that no field of it goes unnoticed."""

import copy
import math
import reprlib
from collections.abc import Mapping
from typing import Any

import transformers

from jaxprune.errors import RequestError

# Fields that leave what a given checkpoint computes as it is.
_WITHOUT_EFFECT = frozenset(
    {
        # bookkeeping
        *(
            "_name_or_path",
            "architectures",
            "dtype",
            "finetuning_task",
            "id2label",
            "label2id",
            "model_max_length",
        ),
        *("model_type", "num_labels", "prefix", "problem_type", "task_specific_params", "tokenizer_class"),
        *(
            "torch_dtype",
            "transformers.js_config",
            "transformers_version",
            "unsloth_fixed",
            "unsloth_version",
        ),
        # how it was trained, and what it was trained for
        *("attention_dropout", "initializer_range", "max_position_embeddings"),
        # how fast and in how many pieces it runs, and what is given back
        *(
            "_attn_implementation_autoset",
            "_flash_attn_2_enabled",
            "attn_implementation",
            "cache_implementation",
        ),
        *("chunk_size_feed_forward", "output_attentions", "output_hidden_states", "output_scores"),
        *(
            "pretraining_tp",
            "return_dict",
            "return_dict_in_generate",
            "torchscript",
            "use_bfloat16",
            "use_cache",
        ),
        # generation
        *(
            "bad_words_ids",
            "begin_suppress_tokens",
            "bos_token_id",
            "decoder_start_token_id",
            "diversity_penalty",
        ),
        *("do_sample", "early_stopping", "encoder_no_repeat_ngram_size", "eos_token_id"),
        *("exponential_decay_length_penalty", "forced_bos_token_id", "forced_eos_token_id", "length_penalty"),
        *("max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups", "num_beams"),
        *(
            "num_return_sequences",
            "pad_token_id",
            "remove_invalid_values",
            "repetition_penalty",
            "sep_token_id",
        ),
        *("suppress_tokens", "temperature", "top_k", "top_p", "typical_p"),
        # encoder-decoder models' fields, which older files of all models have
        *("add_cross_attention", "is_decoder", "is_encoder_decoder", "tf_legacy_loss", "tie_encoder_decoder"),
    }
)
# What transformers' classes look at to fill in, or to check, other fields.
_ASKED_FOR = frozenset({"bos_token_id", "eos_token_id", "max_position_embeddings", "model_type", "pad_token_id"})
# Beyond any model, and few enough that a false number here costs neither memory nor time.
_MAX_BLOCKS = 10_000


class ConfigFields:
    """The fields of one configuration, each to be taken once; what is left at the end is an error."""

    def __init__(self, model_type: str, values: Mapping[str, Any], *, within: str = ""):
        """Starts with all of ``values``; ``within`` is the key under which ``config.json`` has them."""
        self.model_type = model_type
        self._left = dict(values)
        self._prefix = f"{within}." if within else ""

    def take(self, key: str, *supported: Any) -> Any:
        """Returns the value of ``key``; raises if there is none, or not one of ``supported`` if any are."""
        if self._left.get(key) is None:
            raise RequestError(
                f"config.json: a {self.model_type} model needs {self._prefix + key!r}, and it is missing; "
                "add the value that the model was trained with."
            )
        if supported:
            self._refuse_others(key, supported)
        return self._left.pop(key)

    def take_size(self, key: str) -> int:
        """Returns the value of ``key``; raises unless it is a whole number above zero."""
        value = self.take(key)
        if type(value) is not int or value < 1:
            raise self.unsupported(f"{key} = {value!r}", "a whole number above zero")
        return value

    def take_number(self, key: str) -> float:
        """Returns the value of ``key``; raises unless it is a finite number above zero."""
        value = self.take(key)
        if type(value) not in (int, float) or not 0 < value < math.inf:
            raise self.unsupported(f"{key} = {value!r}", "a finite number above zero")
        return float(value)

    def take_flag(self, key: str) -> bool:
        """Returns the value of ``key``; raises unless it is true or false."""
        value = self.take(key)
        if type(value) is not bool:
            raise self.unsupported(f"{key} = {value!r}", "true or false")
        return value

    def take_head_dim(self, hidden_size: int, num_attention_heads: int) -> int:
        """Returns ``head_dim``, which models whose heads make up the hidden size may leave out."""
        if self.has("head_dim"):
            return self.take_size("head_dim")
        if hidden_size % num_attention_heads:
            raise self.unsupported(
                f"hidden_size = {hidden_size}",
                f"a multiple of num_attention_heads = {num_attention_heads}, or a head_dim",
            )
        return hidden_size // num_attention_heads

    def take_fields(self, key: str) -> "ConfigFields":
        """Returns the fields of the object that ``key`` stands for."""
        value = self.take(key)
        if not isinstance(value, Mapping):
            raise self.unsupported(f"{key} = {value!r}", "an object")
        return ConfigFields(self.model_type, value, within=self._prefix + key)

    def has(self, key: str) -> bool:
        """Returns whether there is a value for ``key``."""
        return self._left.get(key) is not None

    def require(self, key: str, *supported: Any) -> None:
        """Raises unless ``key`` is absent or has one of the ``supported`` values."""
        if self.has(key):
            self._refuse_others(key, supported)
        self.discard(key)

    def discard(self, key: str) -> None:
        """Accepts any value of ``key``: only for what another field says already."""
        self._left.pop(key, None)

    def finish(self) -> None:
        """Raises if a field is left that the family does not honour."""
        unknown = sorted(key for key, value in self._left.items() if key not in _WITHOUT_EFFECT and value is not None)
        if unknown:
            found = ", ".join(f"{self._prefix}{key} = {self._left[key]!r}" for key in unknown)
            raise RequestError(
                f"config.json of a {self.model_type} model: found {found}, which jaxprune does not know and "
                "will not ignore. If it does not change what the model computes, remove it from config.json."
            )

    def unsupported(self, found: str, supported: str) -> RequestError:
        """Returns the error that ``found`` ("key = value") is not among what is ``supported``."""
        return RequestError(
            f"config.json: {self._prefix}{found} is not supported for {self.model_type} models; supported: {supported}."
            " Correct the file if it is wrong; a model that was trained so cannot be used."
        )

    def _refuse_others(self, key: str, supported: tuple[Any, ...]) -> None:
        value = self._left[key]
        # By type too: JSON's true is no 1.
        if not any(type(value) is type(choice) and value == choice for choice in supported):
            choices = ", ".join(map(repr, supported)) or "leaving it out"
            raise self.unsupported(f"{key} = {value!r}", choices)


def check_heads(*, num_attention_heads: int, num_key_value_heads: int, head_dim: int) -> None:
    """Raises if key/value heads cannot share out the query heads, or a head's features cannot be paired."""
    if num_attention_heads % num_key_value_heads:
        raise RequestError(
            f"config.json: num_attention_heads = {num_attention_heads} is no multiple of num_key_value_heads "
            f"= {num_key_value_heads}; correct the one that does not fit the weights."
        )
    if head_dim % 2:
        raise RequestError(
            f"config.json: head_dim = {head_dim}, and rotary positions turn pairs of features; "
            "give an even one (where it is left out, it is hidden_size / num_attention_heads)."
        )


def with_defaults(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``raw`` with the defaults that transformers' own class for its ``model_type`` fills in.

    Published files leave out what equals the class's default, and older ones spell rotary parameters
    differently; transformers is the authority on both, so it is asked rather than copied.

    Raises:
      RequestError: transformers finds the configuration invalid, or the weights are quantized.
    """
    if raw.get("quantization_config") is not None:
        raise RequestError(
            "config.json: it has a quantization_config, so the weights are stored quantized, and jaxprune "
            "needs numbers; give the model that was quantized (bfloat16, float16 or float32), or a GGUF file."
        )
    num_blocks = raw.get("num_hidden_layers")
    if isinstance(num_blocks, int) and num_blocks > _MAX_BLOCKS:
        raise RequestError(
            f"config.json: num_hidden_layers = {num_blocks} is not supported; supported: up to {_MAX_BLOCKS}. "
            "Correct the file."
        )
    for key in ("rope_parameters", "rope_scaling"):
        if not isinstance(raw.get(key, None), Mapping | None):
            raise RequestError(f"config.json: {key} = {raw[key]!r} is not supported; give an object.")
    asked = {key: value for key, value in raw.items() if key not in _WITHOUT_EFFECT or key in _ASKED_FOR}
    completed = _complete(asked)
    if isinstance(completed, Exception):
        raise _refusal(asked, completed) from completed
    return completed


def _complete(asked: Mapping[str, Any]) -> dict[str, Any] | Exception:
    """Returns what transformers makes of a configuration, or its reason to refuse it."""
    try:
        # A copy: transformers completes nested objects in place.
        return transformers.AutoConfig.for_model(**copy.deepcopy(dict(asked))).to_dict()
    except Exception as error:  # its strict dataclasses raise many kinds, one wrapped in another
        return error


def _refusal(asked: Mapping[str, Any], error: Exception) -> RequestError:
    """Returns the error that names the field without which transformers would take the configuration, if one is."""
    model_type = asked["model_type"]
    reason = str(error.__cause__ or error).strip().rstrip(".")
    for key in asked:
        if key != "model_type" and isinstance(
            _complete({other: value for other, value in asked.items() if other != key}), dict
        ):
            return RequestError(
                f"config.json: {key} = {reprlib.repr(asked[key])} does not fit the rest of this {model_type} "
                f"configuration ({reason}); give the values that the model was trained with."
            )
    return RequestError(
        f"config.json: its values make no {model_type} model ({reason}); give those that it was trained with."
    )
