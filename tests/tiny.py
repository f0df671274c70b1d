"""Tiny models of every family, in memory and as Hugging Face folders, with constants that nobody would guess.

Widths are multiples of 8, so that 2:4 and 4:8 patterns apply; the vocabulary is a prime.
"""

import copy
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from jaxprune.models import build_model

VOCAB_SIZE = 397
PAD, EOS, BOS = 0, 1, 2

_SPECIAL_TOKENS = ["<pad>", "<eos>", "<bos>"]
_COMMON: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 48,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "max_position_embeddings": 2048,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "initializer_range": 0.02,
    "use_cache": True,
    "pad_token_id": PAD,
    "eos_token_id": EOS,
    "bos_token_id": BOS,
    "dtype": "float32",
}
_OF_FAMILY: dict[str, dict[str, Any]] = {
    "llama": {
        "architectures": ["LlamaForCausalLM"],
        "head_dim": 12,
        "hidden_act": "silu",
        "rms_norm_eps": 3e-3,
        "rope_theta": 12345.0,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 3.0,
            "low_freq_factor": 1.5,
            "high_freq_factor": 5.0,
            "original_max_position_embeddings": 64,
        },
        "mlp_bias": False,
        "tie_word_embeddings": False,
    },
    "cohere": {
        "architectures": ["CohereForCausalLM"],
        "hidden_act": "silu",
        "layer_norm_eps": 3e-3,
        "rope_theta": 12345.0,
        "logit_scale": 0.37,
        "use_qk_norm": False,
        "tie_word_embeddings": True,
    },
    "gemma3_text": {
        "architectures": ["Gemma3ForCausalLM"],
        "num_hidden_layers": 3,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": 3e-3,
        "rope_theta": 12345.0,
        "rope_local_base_freq": 123.0,
        "rope_scaling": {"rope_type": "linear", "factor": 3.0},
        "query_pre_attn_scalar": 7,
        "sliding_window": 5,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "tie_word_embeddings": True,
    },
    # The second block slides.
    "qwen2": {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_bias": ...,
        "hidden_act": "silu",
        "rms_norm_eps": 3e-3,
        "rope_theta": 12345.0,
        "use_sliding_window": True,
        "sliding_window": 5,
        "max_window_layers": 1,
        "tie_word_embeddings": False,
    },
}


def tiny_config(model_type: str, /, **changes: Any) -> dict[str, Any]:
    """Returns a ``config.json`` of a tiny model, with ``changes``; a change to ``...`` removes the key."""
    config = {"model_type": model_type, **_COMMON, **_OF_FAMILY[model_type], **changes}
    # A copy: transformers completes nested objects in place.
    return copy.deepcopy({key: value for key, value in config.items() if value is not ...})


def tiny_tensors(config: dict[str, Any], *, seed: int, dtype: Any = np.float32) -> dict[str, np.ndarray]:
    """Returns random weights (no norm's is one, no bias zero) by Hugging Face's names, in its shapes."""
    rng = np.random.default_rng(seed)
    model = build_model(config)
    tensors = {}
    for section in model.sections:
        for path, (name, shape, is_kernel) in model.owned_tensors(section).items():
            values = rng.standard_normal(shape)
            if is_kernel:
                values *= shape[-1] ** -0.5
            elif path.endswith("scale"):
                # Around one, and for families that store the distance from one (Gemma), around zero.
                values = values * 0.2 + (config["model_type"] != "gemma3_text")
            tensors[name] = values.astype(dtype)
    return tensors


def tiny_params(config: dict[str, Any], *, seed: int, dtype: Any = np.float32) -> dict[str, dict[str, np.ndarray]]:
    """Returns the weights of ``tiny_tensors`` by section, kernels ``[d_in, d_out]``, tied ones in both."""
    tensors = tiny_tensors(config, seed=seed, dtype=dtype)
    model = build_model(config)
    return {
        section: {
            path: np.ascontiguousarray(tensors[name].T) if is_kernel else tensors[name]
            for path, (name, _, is_kernel) in model.tensors(section).items()
        }
        for section in model.sections
    }


def generated_text(seed: int, *, words: int = 200) -> str:
    """Returns words of random letters in Latin, Cyrillic, Arabic and Chinese script."""
    rng = np.random.default_rng(seed)
    alphabets = ("aeinorst", "abdegmuwy", "äöüß", "аеиноркл", "ابتدرسمن", "的一是不了人我在有他这")
    lexicon = ["".join(rng.choice(list(alphabets[i % len(alphabets)]), 1 + i % 5)) for i in range(80)]
    return " ".join(rng.choice(lexicon, words))


@functools.cache
def tiny_tokenizer() -> Tokenizer:
    """Returns a byte-level BPE tokenizer of ``VOCAB_SIZE`` tokens that starts texts with BOS."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=_SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([generated_text(seed) for seed in range(20)], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", BOS)]
    )
    assert tokenizer.get_vocab_size() == VOCAB_SIZE
    return tokenizer


def write_tiny_checkpoint(
    folder: Path,
    model_type: str,
    *,
    seed: int = 0,
    dtype: Any = "float32",
    shards: int = 1,
    with_tokenizer: bool = True,
    **changes: Any,
) -> dict[str, np.ndarray]:
    """Writes a Hugging Face folder as it is published, and returns its tensors.

    Args:
      folder: is made, with its parents.
      model_type: one of ``FAMILIES``.
      seed: of the weights.
      dtype: in which they are stored, by its name.
      shards: number of safetensors files; more than one come with an index.
      with_tokenizer: whether tokenizer files are written.
      changes: to the configuration, as ``tiny_config`` takes them.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = tiny_config(model_type, **{"dtype": np.dtype(dtype).name, **changes})
    tensors = tiny_tensors(config, seed=seed, dtype=dtype)
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD})
    if shards == 1:
        safetensors.numpy.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        weight_map = {}
        for shard in range(shards):
            file_name = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
            names = list(tensors)[shard::shards]
            weight_map |= dict.fromkeys(names, file_name)
            safetensors.numpy.save_file(
                {name: tensors[name] for name in names}, folder / file_name, metadata={"format": "pt"}
            )
        total = sum(tensor.nbytes for tensor in tensors.values())
        _write_json(
            folder / "model.safetensors.index.json",
            {"metadata": {"total_size": total}, "weight_map": weight_map},
        )
    if with_tokenizer:
        tiny_tokenizer().save(str(folder / "tokenizer.json"))
        _write_json(
            folder / "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "pad_token": "<pad>",
                "eos_token": "<eos>",
                "bos_token": "<bos>",
                "model_max_length": config["max_position_embeddings"],
                "clean_up_tokenization_spaces": False,
            },
        )
    return tensors


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
