"""Configurations rebuilt from GGUF metadata."""

import math
from pathlib import Path

import numpy as np
import pytest
import transformers
from gguf import GGMLQuantizationType as Kind

from jaxprune.checkpoints.gguf import GGUFFile
from jaxprune.checkpoints.gguf_config import build_config
from jaxprune.checkpoints.gguf_header import TensorRecord
from jaxprune.errors import RequestError
from jaxprune.models import build_model
from tests.checkpoints.gguf_writing import LLAMA, VALUES, random_tensors, write


def config_of(tmp_path, architecture="llama", changes=None, tensors=None, **options):
    values = {key: value for key, value in {**VALUES[architecture], **(changes or {})}.items() if value is not None}
    path = write(
        tmp_path / "a.gguf",
        tensors or random_tensors(architecture),
        architecture,
        values,
        tokens=True,
        **options,
    )
    return GGUFFile(path).config()


def test_a_llama_configuration(tmp_path):
    assert config_of(tmp_path, tensors=random_tensors(is_tied=False)) == {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "bos_token_id": 1,
        "dtype": "float32",
        "eos_token_id": 0,
        "head_dim": 8,
        "hidden_act": "silu",
        "hidden_size": 48,
        "intermediate_size": 64,
        "max_position_embeddings": 777,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": 3,
        "num_hidden_layers": 2,
        "num_key_value_heads": 1,
        "pad_token_id": None,
        "rms_norm_eps": 0.003,  # stored as the float32 next to it
        "rope_scaling": None,
        "rope_theta": 12345.0,
        "tie_word_embeddings": False,
        "vocab_size": 37,
    }


def test_what_llama_files_leave_out_has_the_defaults_of_llama_cpp(tmp_path):
    left_out = ("attention.head_count_kv", "attention.key_length", "attention.value_length", "rope.freq_base")
    changes = dict.fromkeys(left_out) | {"rope.dimension_count": 16}
    keys = {f"blk.{i}.attn_k.weight": np.ones((48, 48), np.float32) for i in range(2)}
    config = config_of(tmp_path, changes=changes, tensors=random_tensors() | keys)
    assert (config["num_key_value_heads"], config["head_dim"], config["rope_theta"]) == (3, 16, 10000.0)
    assert config["tie_word_embeddings"]


def test_a_qwen_configuration_is_that_of_one_whose_blocks_see_all(tmp_path):
    config = config_of(tmp_path, "qwen2")
    assert config["model_type"] == "qwen2"
    assert "attention_bias" not in config  # which no Qwen 2 has: three of its linears have one always
    found = build_model(config).config
    assert (found.head_dim, found.rms_norm_eps, found.rotary.theta) == (8, 0.003, 12345.0)
    assert (found.tie_word_embeddings, found.windows) == (True, (None, None))


@pytest.mark.parametrize("architecture", VALUES)
def test_the_models_of_this_project_and_transformers_read_it(tmp_path, architecture):
    config = config_of(tmp_path, architecture)
    model = build_model(config)
    assert (model.num_blocks, model.config.hidden_size, model.config.vocab_size) == (2, 48, 37)
    read = transformers.AutoConfig.for_model(**config)
    heads = 6 if architecture in ("command-r", "qwen2") else 3
    assert (read.num_attention_heads, read.max_position_embeddings) == (heads, 777)
    rope = read.rope_parameters
    assert (rope["full_attention"] if architecture == "gemma3" else rope)["rope_theta"] == 12345.0


@pytest.mark.parametrize(
    ("changes", "sliding"),
    [
        ({}, [True, True]),
        ({"attention.sliding_window_pattern": 2}, [True, False]),
        ({"attention.sliding_window_pattern": 1}, [False, False]),
        ({"attention.sliding_window_pattern": [False, True]}, [False, True]),
        ({"attention.sliding_window": None}, [False, False]),
    ],
)
def test_gemma_windows(tmp_path, changes, sliding):
    config = config_of(tmp_path, "gemma3", changes)
    assert config["layer_types"] == ["sliding_attention" if slides else "full_attention" for slides in sliding]
    assert config["sliding_window"] == (13 if any(sliding) or "attention.sliding_window" not in changes else 777)


def test_gemma_rotations(tmp_path):
    changes = {"rope.scaling.type": "linear", "rope.scaling.factor": 8.0, "rope.freq_base_swa": 432.0}
    config = config_of(tmp_path, "gemma3", changes | {"final_logit_softcapping": 30.0})
    assert config["rope_scaling"] == {"rope_type": "linear", "factor": 8.0}
    assert (config["rope_theta"], config["rope_local_base_freq"]) == (12345.0, 432.0)
    assert config["final_logit_softcapping"] == 30.0
    assert config_of(tmp_path, "gemma3")["rope_local_base_freq"] == 10000.0


def test_the_largest_gemma_alone_scales_queries_by_another_width():
    metadata = {
        "gemma3.block_count": 62,
        "gemma3.context_length": 131072,
        "gemma3.embedding_length": 5376,
        "gemma3.feed_forward_length": 21504,
        "gemma3.attention.head_count": 32,
        "gemma3.attention.head_count_kv": 16,
        "gemma3.attention.key_length": 128,
        "gemma3.attention.layer_norm_rms_epsilon": 1e-6,
        "gemma3.attention.sliding_window": 1024,
        "gemma3.rope.freq_base": 1e6,
    }
    tensors = {f"blk.{i}.attn_q.weight": TensorRecord((4096, 5376), Kind.F16, 0, 0) for i in range(62)}
    tensors["token_embd.weight"] = TensorRecord((262144, 5376), Kind.F16, 0, 0)
    config = build_config(Path("27b.gguf"), "gemma3", metadata, tensors, None)
    assert config["query_pre_attn_scalar"] == 168
    smaller = build_config(Path("12b.gguf"), "gemma3", metadata | {"gemma3.block_count": 48}, tensors, None)
    assert smaller["query_pre_attn_scalar"] == 128


def llama3_divisors(theta, head_dim, factor, low, high, length):
    """Frequency by frequency, from the definition."""
    divisors = []
    for i in range(head_dim // 2):
        wavelength = 2 * math.pi * theta ** (2 * i / head_dim)
        if wavelength < length / high:
            divisors.append(1.0)
        elif wavelength > length / low:
            divisors.append(factor)
        else:
            share = (length / wavelength - low) / (high - low)
            divisors.append(1 / ((1 - share) / factor + share))
    return np.array(divisors, np.float32)


def test_llama3_scaling_is_recovered_from_its_table(tmp_path):
    heads = {"attention.key_length": 64, "attention.value_length": 64, "rope.dimension_count": 64}
    changes = heads | {"rope.freq_base": 500000.0}
    tensors = random_tensors() | {"rope_freqs.weight": llama3_divisors(500000.0, 64, 32.0, 1.0, 4.0, 8192)}
    assert config_of(tmp_path, changes=changes, tensors=tensors)["rope_scaling"] == {
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    tensors["rope_freqs.weight"] = np.ones(32, np.float32)
    assert config_of(tmp_path, changes=changes, tensors=tensors)["rope_scaling"] is None


@pytest.mark.parametrize(
    "divisors",
    [
        llama3_divisors(500000.0, 64, 32.0, 1.5, 5.0, 64),
        llama3_divisors(500000.0, 128, 32.0, 1.0, 4.0, 8192),
        np.full(32, np.nan, np.float32),
    ],
    ids=["other bands", "other width", "not a number"],
)
def test_another_table_of_rotations_is_refused(tmp_path, divisors):
    heads = {"attention.key_length": 64, "attention.value_length": 64, "rope.dimension_count": 64}
    tensors = random_tensors() | {"rope_freqs.weight": divisors}
    with pytest.raises(RequestError, match="rotary frequencies"):
        config_of(tmp_path, changes=heads | {"rope.freq_base": 500000.0}, tensors=tensors)


def test_the_dtype_is_that_of_all_tensors_or_float32(tmp_path):
    halves = {name: tensor.astype(np.float16) for name, tensor in random_tensors().items()}
    assert config_of(tmp_path, tensors=halves)["dtype"] == "float16"
    halves["output_norm.weight"] = halves["output_norm.weight"].astype(np.float32)
    assert config_of(tmp_path, tensors=halves)["dtype"] == "float32"


@pytest.mark.parametrize(
    ("architecture", "changes", "said"),
    [
        ("llama", {"expert_count": 8}, "expert_count = 8"),
        ("llama", {"attention.sliding_window": 4096}, "sliding_window = 4096"),
        ("llama", {"attention.clamp_kqv": 3.0}, "llama.attention.clamp_kqv"),
        ("llama", {"rope.scaling.type": "yarn"}, "'yarn'"),
        ("llama", {"rope.scaling.type": [1, 2]}, "a name was expected"),
        ("llama", {"attention.causal": False}, "causal"),
        ("llama", {"attention.head_count_kv": [1, 3]}, "one for each block"),
        ("llama", {"attention.value_length": 16}, "value_length = 16"),
        ("llama", {"rope.dimension_count": 4}, "dimension_count = 4"),
        ("llama", {"embedding_length": None}, "'llama.embedding_length' is missing"),
        ("llama", {"embedding_length": "48"}, "embedding_length"),
        ("llama", {"attention.head_count": 0}, "head_count' is 0"),
        ("llama", {"attention.layer_norm_rms_epsilon": math.nan}, "nan"),
        ("llama", {"block_count": 2**27}, "134217728 blocks"),
        ("gemma3", {"attention.sliding_window_pattern": [True, False, True]}, "one value for 2 blocks"),
        ("gemma3", {"rope.freq_base": None}, "rope.freq_base"),
        ("qwen2", {"attention.sliding_window": 4096}, "sliding_window = 4096"),
        ("qwen2", {"rope.scaling.type": "yarn"}, "'yarn'"),
        ("qwen2", {"pooling_type": 3}, "qwen2.pooling_type"),
        ("command-r", {"attention.key_length": 4, "attention.value_length": 4}, "key_length = 4"),
        ("command-r", {"logit_scale": None}, "logit_scale"),
    ],
)
def test_values_that_are_not_supported_are_named(tmp_path, architecture, changes, said):
    with pytest.raises(RequestError, match=said):
        config_of(tmp_path, architecture, changes)


def test_unknown_architectures_and_parts_of_models_are_refused(tmp_path):
    other = write(tmp_path / "a.gguf", random_tensors(), "mamba", LLAMA)
    with pytest.raises(RequestError, match=r"'mamba'.*command-r, gemma3, llama, qwen2"):
        GGUFFile(other)
    part = write(tmp_path / "b.gguf", random_tensors(), plain={"split.count": 3, "split.no": 0})
    with pytest.raises(RequestError, match=r"3 parts.*llama-gguf-split --merge"):
        GGUFFile(part)
