"""Conversions: bit-exact round trips, files as in the source, and what transformers makes of them."""

import json
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
import transformers

from jaxprune import disk
from jaxprune.checkpoints import create_writer, open_checkpoint
from jaxprune.checkpoints.huggingface import HuggingFaceWriter
from jaxprune.errors import RequestError
from jaxprune.models import FAMILIES
from tests.checkpoints.folders import assert_same_bits, edit_json, edit_tensors, logits_of, read_all
from tests.tiny import VOCAB_SIZE, tiny_tensors, write_tiny_checkpoint

_LLAMAS = [
    {"tie_word_embeddings": False},
    {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True},
]


def _convert(source: Path, target: Path, *, format: str, dtype=None) -> None:
    target.mkdir()
    checkpoint = open_checkpoint(str(source))
    writer = create_writer(target, checkpoint, format=format, dtype=dtype)
    for section in reversed(checkpoint.model.sections):
        writer.write(section, checkpoint.read(section))
    writer.finish()


def _read_all_sections(checkpoint) -> None:
    for section in checkpoint.model.sections:
        checkpoint.read(section)


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("family", "changes", "dtype"),
    [
        *[("llama", changes, dtype) for changes in _LLAMAS for dtype in ("bfloat16", "float16", "float32")],
        *[(family, {}, "bfloat16") for family in FAMILIES if family != "llama"],
    ],
)
def test_huggingface_to_orbax_and_back_is_bit_exact(tmp_path, family, changes, dtype):
    tensors = write_tiny_checkpoint(tmp_path / "source", family, dtype=dtype, **changes)
    _convert(tmp_path / "source", tmp_path / "orbax", format="orbax")
    _convert(tmp_path / "orbax", tmp_path / "back", format="huggingface")
    assert_same_bits(read_all(tmp_path / "back"), tensors)
    assert _files(tmp_path / "back") == _files(tmp_path / "source")
    for name in ("config.json", "tokenizer.json"):
        assert (tmp_path / "back" / name).read_bytes() == (tmp_path / "source" / name).read_bytes()


def test_values_that_a_copy_could_lose_survive(tmp_path):
    write_tiny_checkpoint(tmp_path / "source", "llama", dtype="bfloat16")
    zeros = np.full((56, 48), -0.0, ml_dtypes.bfloat16)
    tiny = np.full((48, 56), ml_dtypes.finfo(ml_dtypes.bfloat16).smallest_subnormal, ml_dtypes.bfloat16)
    changes = {
        "model.layers.0.mlp.up_proj.weight": zeros,
        "model.layers.0.mlp.down_proj.weight": tiny,
        "model.layers.0.mlp.gate_proj.weight": np.zeros_like(zeros),
        "model.norm.weight": np.full(48, 0.1, np.float32),
    }
    edit_tensors(tmp_path / "source", **changes)
    _convert(tmp_path / "source", tmp_path / "orbax", format="orbax")
    _convert(tmp_path / "orbax", tmp_path / "back", format="huggingface")
    assert_same_bits(read_all(tmp_path / "back"), read_all(tmp_path / "source"))


def test_the_sources_shards_are_kept(tmp_path):
    tensors = write_tiny_checkpoint(tmp_path / "source", "llama", dtype="bfloat16", shards=3)
    _convert(tmp_path / "source", tmp_path / "out", format="huggingface")
    assert _files(tmp_path / "out") == _files(tmp_path / "source")
    assert_same_bits(read_all(tmp_path / "out"), tensors)
    indices = [json.loads((tmp_path / f / "model.safetensors.index.json").read_text()) for f in ("source", "out")]
    assert indices[0] == indices[1]
    assert indices[0]["metadata"]["total_size"] > 0


def test_large_results_are_spread_over_files(tmp_path):
    tensors = write_tiny_checkpoint(tmp_path / "source", "llama", dtype="float32")
    _convert(tmp_path / "source", tmp_path / "orbax", format="orbax")
    checkpoint = open_checkpoint(str(tmp_path / "orbax"))
    out = tmp_path / "out"
    out.mkdir()
    limit = 100_000  # above the largest tensor, the table of 397 x 48 floats
    writer = HuggingFaceWriter(out, checkpoint, dtype=None, shard_bytes=limit)
    for section in checkpoint.model.sections:
        writer.write(section, checkpoint.read(section))
    writer.finish()
    names = sorted(path.name for path in out.glob("*.safetensors"))
    assert len(names) >= 3
    assert names == [f"model-{i:05d}-of-{len(names):05d}.safetensors" for i in range(1, len(names) + 1)]
    assert all(path.stat().st_size < limit + 10_000 for path in out.glob("*.safetensors"))
    assert_same_bits(read_all(out), tensors)
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(value.nbytes for value in tensors.values())
    assert index["weight_map"].keys() == tensors.keys()


@pytest.mark.parametrize("format", ["huggingface", "orbax"])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32])
def test_casts_round_as_numpy_does_and_the_config_says_so(tmp_path, format, dtype):
    tensors = write_tiny_checkpoint(tmp_path / "source", "llama", dtype="float32", shards=2)
    edit_json(tmp_path / "source" / "config.json", torch_dtype="float32", dtype=...)
    _convert(tmp_path / "source", tmp_path / "out", format=format, dtype=np.dtype(dtype))
    assert json.loads((tmp_path / "out/config.json").read_text())["torch_dtype"] == np.dtype(dtype).name
    if format == "orbax":
        _convert(tmp_path / "out", tmp_path / "back", format="huggingface")
    found = read_all(tmp_path / ("back" if format == "orbax" else "out"))
    assert_same_bits(found, {name: value.astype(dtype) for name, value in tensors.items()})


@pytest.mark.parametrize("format", ["huggingface", "orbax"])
def test_a_value_too_large_for_the_asked_precision_is_refused(tmp_path, format):
    write_tiny_checkpoint(tmp_path / "source", "llama", dtype="bfloat16")
    large = np.ones((56, 48), ml_dtypes.bfloat16)
    large[3, 3] = 1e6
    edit_tensors(tmp_path / "source", **{"model.layers.1.mlp.up_proj.weight": large})
    with pytest.raises(
        RequestError, match=r"model\.layers\.1\.mlp\.up_proj\.weight has values that float16 cannot hold"
    ):
        _convert(tmp_path / "source", tmp_path / "out", format=format, dtype=np.dtype(np.float16))


def test_a_redundant_head_is_left_out(tmp_path):
    tensors = write_tiny_checkpoint(tmp_path / "source", "llama", tie_word_embeddings=True)
    edit_tensors(tmp_path / "source", **{"lm_head.weight": tensors["model.embed_tokens.weight"].copy()})
    _convert(tmp_path / "source", tmp_path / "out", format="huggingface")
    assert_same_bits(read_all(tmp_path / "out"), tensors)


@pytest.mark.parametrize("format", ["huggingface", "orbax"])
def test_writing_goes_on_after_an_interruption(tmp_path, format):
    tensors = write_tiny_checkpoint(tmp_path / "source", "llama", dtype="bfloat16", shards=2)
    checkpoint = open_checkpoint(str(tmp_path / "source"))
    out = tmp_path / "out"
    out.mkdir()
    first = create_writer(out, checkpoint, format=format, dtype=None)
    first.write("embed", checkpoint.read("embed"))
    # Written, but wrongly: the second run has to replace it.
    first.write("blocks/0", {path: value * 0 for path, value in checkpoint.read("blocks/0").items()})
    second = create_writer(out, checkpoint, format=format, dtype=None)
    for section in ("blocks/0", "blocks/1", "head"):
        second.write(section, checkpoint.read(section))
    second.finish()
    # Interrupted once more, after the end: nothing changes.
    create_writer(out, checkpoint, format=format, dtype=None).finish()
    if format == "orbax":
        _convert(out, tmp_path / "back", format="huggingface")
    assert_same_bits(read_all(tmp_path / "back" if format == "orbax" else out), tensors)


@pytest.mark.parametrize("format", ["huggingface", "orbax"])
def test_a_section_never_written_is_noticed(tmp_path, format):
    write_tiny_checkpoint(tmp_path / "source", "llama")
    checkpoint = open_checkpoint(str(tmp_path / "source"))
    out = tmp_path / "out"
    out.mkdir()
    writer = create_writer(out, checkpoint, format=format, dtype=None)
    writer.write("embed", checkpoint.read("embed"))
    with pytest.raises(AssertionError, match="never written"):
        writer.finish()


@pytest.mark.parametrize("format", ["huggingface", "orbax"])
def test_too_small_a_disk_is_found_before_any_weight_is_written(tmp_path, monkeypatch, format):
    write_tiny_checkpoint(tmp_path / "source", "llama")
    monkeypatch.setattr(disk, "_free", lambda folder: 1000)
    with pytest.raises(RequestError, match=r"is full: [\d,]+ bytes were needed, 1,000 bytes are free"):
        _convert(tmp_path / "source", tmp_path / "out", format=format)
    assert not list((tmp_path / "out").glob("*.safetensors"))
    assert not list((tmp_path / "out").glob("orbax*"))


def test_a_disk_that_fills_up_is_found_before_orbax_begins_a_section(tmp_path, monkeypatch):
    write_tiny_checkpoint(tmp_path / "source", "llama")
    checkpoint = open_checkpoint(str(tmp_path / "source"))
    out = tmp_path / "out"
    out.mkdir()
    writer = create_writer(out, checkpoint, format="orbax", dtype=None)
    writer.write("embed", checkpoint.read("embed"))
    before = _files(out)
    block = checkpoint.read("blocks/0")
    # As many as the block has, which is too few: nothing says that it compresses.
    monkeypatch.setattr(disk, "_free", lambda folder: sum(value.nbytes for value in block.values()))
    with pytest.raises(RequestError, match=r"is full: [\d,]+ bytes were needed, [\d,]+ bytes are free"):
        writer.write("blocks/0", block)
    assert _files(out) == before


def test_orbax_copies_no_tensor_before_it_writes(tmp_path):
    write_tiny_checkpoint(tmp_path / "source", "llama", vocab_size=50_021, with_tokenizer=False)
    checkpoint = open_checkpoint(str(tmp_path / "source"))
    out = tmp_path / "out"
    out.mkdir()
    writer = create_writer(out, checkpoint, format="orbax", dtype=None)
    params = checkpoint.read("embed")
    tracemalloc.start()  # knows of NumPy's memory, and not of what TensorStore packs into
    writer.write("embed", params)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.5 * sum(value.nbytes for value in params.values())


def test_an_unknown_format_lists_the_known(tmp_path):
    write_tiny_checkpoint(tmp_path / "source", "llama")
    with pytest.raises(RequestError, match="'gguf' is unknown; choose huggingface or orbax"):
        create_writer(tmp_path, open_checkpoint(str(tmp_path / "source")), format="gguf", dtype=None)


def test_companions_are_copied_and_nothing_else(tmp_path):
    source = tmp_path / "source"
    write_tiny_checkpoint(source, "llama")
    wanted = [
        "LICENSE.txt", "NOTICE", "USE_POLICY.md", "chat_template.jinja", "tokenizer.model",
        "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
    ]  # fmt: skip
    for name in [*wanted, "README.md", "modeling_evil.py", "training_args.bin", "optimizer.safetensors.txt"]:
        (source / name).write_text(name)
    (source / "additional_chat_templates").mkdir()
    (source / "additional_chat_templates/tool.jinja").write_text("tool")
    out = tmp_path / "out"
    out.mkdir()
    open_checkpoint(str(source)).write_companions(out, None)
    own = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}
    assert _files(out) == own | set(wanted) | {"additional_chat_templates/tool.jinja"}
    assert all((out / name).read_bytes() == (source / name).read_bytes() for name in _files(out))


@pytest.mark.parametrize(("family", "format"), [("llama", "orbax"), *[(family, "huggingface") for family in FAMILIES]])
def test_transformers_computes_the_same_from_what_is_written(tmp_path, family, format):
    source, out = tmp_path / "source", tmp_path / "out"
    write_tiny_checkpoint(source, family, dtype="float32", shards=2)
    _convert(source, out, format=format)
    ours = open_checkpoint(str(out))
    if format == "orbax":
        _convert(out, tmp_path / "back", format="huggingface")
        out = tmp_path / "back"
    tokens_BT = np.random.default_rng(2).integers(3, VOCAB_SIZE, (2, 13)).astype(np.int32)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(out, attn_implementation="eager").eval()
    assert theirs.dtype == torch.float32
    with torch.no_grad():
        expected = theirs(torch.tensor(tokens_BT, dtype=torch.long)).logits.numpy()
    found = logits_of(ours, tokens_BT)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    assert tokenizer("ein text")["input_ids"] == ours.tokenizer()("ein text")["input_ids"]


def test_orbax_reads_the_checkpoint_without_us(tmp_path):
    from orbax.checkpoint import v1 as ocp

    write_tiny_checkpoint(tmp_path / "source", "llama", dtype="bfloat16")
    _convert(tmp_path / "source", tmp_path / "out", format="orbax")
    tree = ocp.load(tmp_path / "out" / "orbax")
    assert tree.keys() == {"embed", "blocks", "head"}
    assert tree["blocks"].keys() == {"0", "1"}
    expected = tiny_tensors(json.loads((tmp_path / "out/config.json").read_text()), seed=0, dtype=ml_dtypes.bfloat16)
    kernel = tree["blocks"]["1"]["up_proj"]["kernel"]
    assert kernel.shape == (48, 56)
    np.testing.assert_array_equal(kernel, expected["model.layers.1.mlp.up_proj.weight"].T)


def _converted(tmp_path: Path) -> Path:
    write_tiny_checkpoint(tmp_path / "source", "llama")
    _convert(tmp_path / "source", tmp_path / "out", format="orbax")
    return tmp_path / "out"


def test_an_orbax_checkpoint_of_another_config_is_refused(tmp_path):
    folder = _converted(tmp_path)
    edit_json(folder / "config.json", num_hidden_layers=1)
    with pytest.raises(RequestError, match=r"has 9 tensors that its config.json has no place for: blocks/1/"):
        open_checkpoint(str(folder))
    edit_json(folder / "config.json", num_hidden_layers=2, intermediate_size=40)
    with pytest.raises(RequestError, match=r"6 tensors of another shape.*is \[56, 48\] and should be \[40, 48\]"):
        open_checkpoint(str(folder))


def test_a_damaged_orbax_checkpoint_is_refused(tmp_path):
    folder = _converted(tmp_path)
    before = open_checkpoint(str(folder)).fingerprint
    assert open_checkpoint(str(folder)).fingerprint == before
    # The largest file under d/ holds weights, one of the others where they are.
    largest = max(folder.glob("orbax/state/**/d/*"), key=lambda path: path.stat().st_size)
    whole = largest.read_bytes()
    largest.write_bytes(whole[:100])
    checkpoint = open_checkpoint(str(folder))
    assert checkpoint.fingerprint != before
    with pytest.raises(RequestError, match=r"cannot be read .*convert the model again"):
        _read_all_sections(checkpoint)
    largest.write_bytes(whole)
    for path in folder.glob("orbax/state/**/d/*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RequestError, match="is not a complete Orbax checkpoint"):
        open_checkpoint(str(folder))
    (folder / "orbax/state/_METADATA").unlink()
    with pytest.raises(RequestError, match="is not a complete Orbax checkpoint"):
        open_checkpoint(str(folder))
