"""Model families, and the one way to get from a ``config.json`` to a model."""

from collections.abc import Mapping
from typing import Any

from jaxprune.errors import RequestError
from jaxprune.models import cohere, gemma3, llama, qwen2
from jaxprune.models.causal_lm import CausalLM, Family
from jaxprune.models.fields import with_defaults

FAMILIES: dict[str, Family] = {
    family.model_type: family for family in (cohere.COHERE, gemma3.GEMMA3, llama.LLAMA, qwen2.QWEN2)
}


def build_model(config: Mapping[str, Any]) -> CausalLM:
    """Returns the model that a Hugging Face ``config.json`` describes.

    Raises:
      RequestError: the model type or one of the values is not supported.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise RequestError(
            f"config.json: model_type = {model_type!r} is not supported; supported: {', '.join(sorted(FAMILIES))}; "
            "give a model of one of these types."
        )
    family = FAMILIES[model_type]
    return CausalLM(family, family.read_config(with_defaults(config)))
