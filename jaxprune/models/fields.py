"""Reads a Hugging Face ``config.json`` so that no field of it goes unnoticed."""

from collections.abc import Mapping
from typing import Any

import transformers

from jaxprune.errors import RequestError

# Fields that leave the forward pass of a given checkpoint as it is: bookkeeping, training, and generation.
_WITHOUT_EFFECT = frozenset(
    """
    _name_or_path architectures bos_token_id cache_implementation chunk_size_feed_forward dtype eos_token_id id2label
    initializer_range is_encoder_decoder label2id max_position_embeddings model_type output_attentions
    output_hidden_states pad_token_id problem_type return_dict torch_dtype transformers_version use_cache
    """.split()
)


class ConfigFields:
    """The fields of one configuration, each to be taken once; what is left at the end is an error."""

    def __init__(self, model_type: str, values: Mapping[str, Any]):
        self._model_type = model_type
        self._left = dict(values)

    def take(self, key: str, *supported: Any) -> Any:
        """Returns the value of ``key``; raises if there is none, or none of the ``supported`` ones if any are named."""
        if self._left.get(key) is None:
            raise RequestError(
                f"config.json: a {self._model_type} model needs {key!r}, and it is missing; "
                "add the value that the model was trained with."
            )
        if supported:
            self._refuse_others(key, supported)
        return self._left.pop(key)

    def take_optional(self, key: str) -> Any | None:
        """Returns the value of ``key``, or None if the configuration has none."""
        return self._left.pop(key, None)

    def require(self, key: str, *supported: Any) -> None:
        """Raises unless ``key`` is absent or has one of the ``supported`` values."""
        if self._left.get(key) is not None:
            self._refuse_others(key, supported)
        self._left.pop(key, None)

    def _refuse_others(self, key: str, supported: tuple[Any, ...]) -> None:
        if self._left[key] not in supported:
            raise RequestError(
                f"config.json: {key} = {self._left[key]!r} is not supported for {self._model_type} models; "
                f"supported: {', '.join(map(repr, supported)) or 'leaving it out'}."
            )

    def finish(self) -> None:
        """Raises if a field is left that the family does not honour."""
        unknown = sorted(
            key for key, value in self._left.items() if key not in _WITHOUT_EFFECT and value is not None
        )
        if unknown:
            found = ", ".join(f"{key} = {self._left[key]!r}" for key in unknown)
            raise RequestError(
                f"config.json of a {self._model_type} model: found {found}, which jaxprune does not know and will not "
                "ignore. If it does not change what the model computes, remove it from config.json."
            )


def with_defaults(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``raw`` with the defaults that transformers' own class for its ``model_type`` fills in.

    Published files leave out what equals the class's default, and older ones spell rotary parameters
    differently; transformers is the authority on both, so it is asked rather than copied.
    """
    model_type = raw["model_type"]
    try:
        config = transformers.AutoConfig.for_model(**raw)
    except Exception as error:  # transformers' strict dataclasses raise many kinds
        raise RequestError(f"config.json is not a valid {model_type} configuration: {error}") from error
    return config.to_dict()
