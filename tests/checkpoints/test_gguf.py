"""Tensors read from GGUF files against independent constructions of what they should be."""

import gguf
import ml_dtypes
import numpy as np
import pytest
import torch
import transformers
from gguf import GGMLQuantizationType as Kind
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from jaxprune.checkpoints import open_checkpoint
from jaxprune.checkpoints.gguf import GGUFFile
from jaxprune.checkpoints.tensors import TensorStore
from jaxprune.errors import RequestError
from tests.checkpoints.folders import logits_of
from tests.checkpoints.gguf_writing import (
    BLOCKS,
    COMMAND_R,
    GEMMA,
    HEAD_DIM,
    HEADS,
    HIDDEN,
    KV_HEADS,
    LLAMA,
    QWEN,
    VALUES,
    random_tensors,
    write,
)
from tests.models.reference import assert_close

# The package has a class for each type that it can dequantize.
QUANTIZED = [kind for kind in gguf.GGML_QUANT_SIZES if hasattr(gguf.quants, kind.name) and kind != Kind.BF16]


def raw_blocks(kind, rows, columns, seed=11):
    """Random bytes: any is a valid block, though its scale may not be a number."""
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (rows, columns // block * block_bytes), dtype=np.uint8)


@pytest.mark.parametrize("kind", QUANTIZED, ids=lambda kind: kind.name)
def test_quantized_tensors_are_what_the_gguf_package_makes_of_them(tmp_path, kind):
    raw = raw_blocks(kind, 5, 512)
    tensors = random_tensors() | {"blk.0.ffn_up.weight": raw}
    file = GGUFFile(write(tmp_path / "a.gguf", tensors, kinds={"blk.0.ffn_up.weight": kind}))
    name = "model.layers.0.mlp.up_proj.weight"
    assert file.specs[name] == ((5, 512), np.float32)
    with np.errstate(all="ignore"):
        expected = gguf.dequantize(raw, kind)
    assert np.isfinite(expected).mean() > 0.5
    np.testing.assert_array_equal(file.read(name), expected, strict=True)


@pytest.mark.parametrize("kind", [Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0, Kind.MXFP4])
def test_what_is_quantized_comes_back_as_near_as_its_steps_are_wide(tmp_path, kind):
    values = np.random.default_rng(3).standard_normal((6, 96)).astype(np.float32)
    tensors = random_tensors() | {"blk.1.ffn_down.weight": gguf.quantize(values, kind)}
    file = GGUFFile(write(tmp_path / "a.gguf", tensors, kinds={"blk.1.ffn_down.weight": kind}))
    found = file.read("model.layers.1.mlp.down_proj.weight")
    steps = {Kind.Q8_0: 254, Kind.Q5_0: 30, Kind.Q5_1: 31, Kind.Q4_0: 14, Kind.Q4_1: 15, Kind.MXFP4: 6}[kind]
    widest = 2 * np.abs(values.reshape(6, 3, 32)).max(-1, keepdims=True) / steps
    assert (np.abs(found - values).reshape(6, 3, 32) <= 1.01 * widest).all()


def test_a_tensor_of_several_chunks_is_read_whole(tmp_path):
    raw = raw_blocks(Kind.Q4_1, 3, 2**20 + 96)
    tensors = random_tensors() | {"blk.0.ffn_up.weight": raw}
    file = GGUFFile(write(tmp_path / "a.gguf", tensors, kinds={"blk.0.ffn_up.weight": Kind.Q4_1}))
    with np.errstate(all="ignore"):
        expected = gguf.dequantize(raw, Kind.Q4_1)
    np.testing.assert_array_equal(file.read("model.layers.0.mlp.up_proj.weight"), expected, strict=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_floats_keep_their_dtype_and_every_bit(tmp_path, dtype):
    tensors = random_tensors(is_tied=False)
    bits = np.random.default_rng(1).integers(0, 256, (7, 40 * np.dtype(dtype).itemsize), dtype=np.uint8)
    kind = {2: Kind.F16, 4: Kind.F32}[np.dtype(dtype).itemsize] if dtype != ml_dtypes.bfloat16 else Kind.BF16
    tensors["output.weight"] = bits
    file = GGUFFile(write(tmp_path / "a.gguf", tensors, kinds={"output.weight": kind}))
    found = file.read("lm_head.weight")
    assert file.specs["lm_head.weight"] == ((7, 40), dtype)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.view(np.uint8), bits)


def permuted(rows, heads):
    """llama.cpp's order, row by row: within a head, row i of both halves becomes rows 2 i and 2 i + 1."""
    stored = np.empty_like(rows)
    half = rows.shape[0] // heads // 2
    for head in range(heads):
        for i in range(half):
            first = head * 2 * half
            stored[first + 2 * i] = rows[first + i]
            stored[first + 2 * i + 1] = rows[first + half + i]
    return stored


def test_llama_query_and_key_rows_and_biases_are_put_back_in_order(tmp_path):
    tensors = random_tensors()
    rng = np.random.default_rng(2)
    expected = {}
    for i in range(BLOCKS):
        for letter, heads in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)):
            for suffix, shape in (("weight", (heads * HEAD_DIM, HIDDEN)), ("bias", (heads * HEAD_DIM,))):
                values = rng.standard_normal(shape).astype(np.float32)
                expected[f"model.layers.{i}.self_attn.{letter}_proj.{suffix}"] = values
                stored = values if letter == "v" else permuted(values, heads)
                tensors[f"blk.{i}.attn_{letter}.{suffix}"] = stored
    file = GGUFFile(write(tmp_path / "a.gguf", tensors))
    for name, values in expected.items():
        found = file.read(name)
        np.testing.assert_array_equal(found, values, err_msg=name, strict=True)
        assert found.flags.c_contiguous
    assert file.config()["attention_bias"]


@pytest.mark.parametrize("architecture", ["gemma3", "command-r", "qwen2"])
def test_other_architectures_keep_their_rows(tmp_path, architecture):
    tensors = random_tensors(architecture)
    file = GGUFFile(write(tmp_path / "a.gguf", tensors, architecture, VALUES[architecture]))
    for letter in "qkv":
        np.testing.assert_array_equal(
            file.read(f"model.layers.1.self_attn.{letter}_proj.weight"),
            tensors[f"blk.1.attn_{letter}.weight"],
        )
        if architecture == "qwen2":
            found = file.read(f"model.layers.1.self_attn.{letter}_proj.bias")
            np.testing.assert_array_equal(found, tensors[f"blk.1.attn_{letter}.bias"])


def test_a_qwen_computes_what_transformers_reads_from_its_file(tmp_path):
    tensors = random_tensors("qwen2", is_tied=False)
    path = write(tmp_path / "a.gguf", tensors, "qwen2", QWEN | {"vocab_size": 37})
    with torch.device("meta"):  # for the names of its parameters
        config = transformers.AutoConfig.for_model(**GGUFFile(path).config())
        skeleton = transformers.AutoModelForCausalLM.from_config(config)
    read = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=skeleton)
    theirs = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**read["config"]))
    theirs.load_state_dict(read["tensors"])
    tokens = np.arange(20, dtype=np.int32).reshape(2, 10)
    with torch.no_grad():
        wanted = theirs(torch.tensor(tokens)).logits.numpy()
    assert_close(logits_of(open_checkpoint(str(path)), tokens), wanted, relative=1e-4)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("blk.1.attn_output.bias", np.ones(HIDDEN, np.float32), "model.layers.1.self_attn.o_proj.bias"),
        ("blk.1.attn_k.bias", None, "model.layers.1.self_attn.k_proj.bias"),
    ],
)
def test_a_qwen_has_three_biases_a_block_no_more_and_no_less(tmp_path, name, values, said):
    tensors = {key: value for key, value in random_tensors("qwen2").items() if key != name}
    if values is not None:
        tensors[name] = values
    with pytest.raises(RequestError, match=said):
        open_checkpoint(str(write(tmp_path / "a.gguf", tensors, "qwen2", QWEN)))


def test_command_r_norms_of_heads_have_a_row_for_each(tmp_path):
    tensors = random_tensors("command-r")
    for i in range(BLOCKS):
        tensors[f"blk.{i}.attn_q_norm.weight"] = np.full((6, HEAD_DIM), 0.5 + i, np.float32)
        tensors[f"blk.{i}.attn_k_norm.weight"] = np.full((2, HEAD_DIM), 0.25 + i, np.float32)
    file = GGUFFile(write(tmp_path / "a.gguf", tensors, "command-r", COMMAND_R))
    assert file.config()["use_qk_norm"]
    assert file.read("model.layers.1.self_attn.q_norm.weight").shape == (6, HEAD_DIM)
    np.testing.assert_array_equal(file.read("model.layers.1.self_attn.k_norm.weight"), np.float32(1.25))


def test_gemma_norms_lose_the_one_that_was_added_and_nothing_else(tmp_path):
    rng = np.random.default_rng(8)
    scales = (rng.standard_normal(HIDDEN) * 2.0 ** rng.integers(-15, 8, HIDDEN)).astype(ml_dtypes.bfloat16)
    original = scales.astype(np.float32)
    original[0] = 0
    original[np.abs(original) < 2.0**-16] = -(2.0**-16)
    names = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
    tensors = random_tensors("gemma3")
    tensors |= {f"blk.0.{name}.weight": original + np.float32(1) for name in names}
    tensors["output_norm.weight"] = original + np.float32(1)
    tensors["blk.0.attn_q_norm.weight"] = original[:HEAD_DIM] + np.float32(1)
    file = GGUFFile(write(tmp_path / "a.gguf", tensors, "gemma3", GEMMA))
    block = "model.layers.0."
    for norm in (
        *(f"{block}{name}_layernorm" for name in ("input", "post_attention", "pre_feedforward", "post_feedforward")),
        "model.norm",
    ):
        np.testing.assert_array_equal(file.read(f"{norm}.weight"), original, err_msg=norm, strict=True)
    np.testing.assert_array_equal(file.read(f"{block}self_attn.q_norm.weight"), original[:HEAD_DIM])
    np.testing.assert_array_equal(file.read("model.embed_tokens.weight"), tensors["token_embd.weight"])


def test_a_gemma_norm_in_half_precision_becomes_float32(tmp_path):
    tensors = random_tensors("gemma3")
    tensors["output_norm.weight"] = np.linspace(0.5, 2, HIDDEN).astype(np.float16)
    file = GGUFFile(write(tmp_path / "a.gguf", tensors, "gemma3", GEMMA))
    assert file.specs["model.norm.weight"].dtype == np.float32
    np.testing.assert_array_equal(
        file.read("model.norm.weight"), tensors["output_norm.weight"].astype(np.float32) - 1, strict=True
    )


@pytest.mark.parametrize("architecture", VALUES)
def test_every_tensor_has_the_shape_and_dtype_that_was_announced(tmp_path, architecture):
    tensors = random_tensors(architecture)
    file = GGUFFile(write(tmp_path / "a.gguf", tensors, architecture, VALUES[architecture]))
    assert isinstance(file, TensorStore)
    assert len(file.specs) == len(tensors)
    for name, spec in file.specs.items():
        found = file.read(name)
        assert (found.shape, found.dtype) == spec, name
        assert found.flags.writeable
        assert found.base is None or found.base.base is None  # nothing of the file stays mapped


def test_the_fingerprint_depends_on_header_and_every_tensor(tmp_path):
    first = GGUFFile(write(tmp_path / "a.gguf", random_tensors())).fingerprint
    assert GGUFFile(write(tmp_path / "b.gguf", random_tensors())).fingerprint == first
    other = GGUFFile(write(tmp_path / "c.gguf", random_tensors(), values=LLAMA | {"rope.freq_base": 5.0}))
    assert other.fingerprint != first
    for name, values in random_tensors().items():
        changed = random_tensors() | {name: values * np.float32(1.01)}
        assert GGUFFile(write(tmp_path / "d.gguf", changed)).fingerprint != first, name


@pytest.mark.parametrize(
    ("changes", "kinds", "said"),
    [
        ({"blk.0.attn_qkv.weight": np.ones((72, 48), np.float32)}, {}, "blk.0.attn_qkv.weight"),
        ({"blk.00.attn_q.weight": np.ones((24, 48), np.float32)}, {}, "blk.00.attn_q.weight"),
        ({"blk.0.attn_q.weight": np.ones((20, 48), np.float32)}, {}, "20 rows"),
        ({"blk.0.ffn_up.weight": raw_blocks(Kind.Q8_K, 2, 256)}, {"blk.0.ffn_up.weight": Kind.Q8_K}, "Q8_K"),
        ({"blk.0.ffn_up.weight": np.ones((64, 48), np.float64)}, {}, "F64"),
        ({"token_embd.weight": np.ones(48, np.float32)}, {}, "token_embd.weight"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(tmp_path, changes, kinds, said):
    path = write(tmp_path / "a.gguf", random_tensors() | changes, kinds=kinds)
    with pytest.raises(RequestError, match=said):
        GGUFFile(path)


def test_a_file_that_shrinks_after_it_was_opened_is_refused(tmp_path):
    path = write(tmp_path / "a.gguf", random_tensors())
    file = GGUFFile(path)
    path.write_bytes(path.read_bytes()[:-4000])
    last = list(file.specs)[-1]
    with pytest.raises(RequestError, match="shorter"):
        file.read(last)
    path.unlink()
    with pytest.raises(RequestError, match="cannot be read"):
        file.read("model.norm.weight")


def test_tokens_that_end_a_text_or_a_turn_are_known(tmp_path):
    path = write(tmp_path / "a.gguf", random_tensors(), tokens=True, plain={"tokenizer.ggml.eot_token_id": 20})
    assert GGUFFile(path).end_tokens() == [0, 20]
    assert open_checkpoint(str(path)).generation_config() == {"eos_token_id": [0, 20]}
    assert GGUFFile(write(tmp_path / "b.gguf", random_tensors())).end_tokens() == []
