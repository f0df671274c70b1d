"""Model references, and every way in which a Hugging Face folder can be wrong."""

import json

import ml_dtypes
import numpy as np
import pytest

from jaxprune.checkpoints import open_checkpoint
from jaxprune.errors import RequestError
from tests.checkpoints.folders import edit_json, edit_tensors, read_all
from tests.tiny import tiny_params, write_tiny_checkpoint

_UP = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def llama(tmp_path):
    folder = tmp_path / "llama"
    write_tiny_checkpoint(folder, "llama", seed=5)
    return folder


def test_sections_are_read_with_kernels_turned(llama):
    checkpoint = open_checkpoint(str(llama))
    assert checkpoint.reference == str(llama)
    assert checkpoint.config == json.loads((llama / "config.json").read_text())
    expected = tiny_params(checkpoint.config, seed=5)
    for section in checkpoint.model.sections:
        found = checkpoint.read(section)
        assert found.keys() == expected[section].keys()
        for path, value in expected[section].items():
            np.testing.assert_array_equal(found[path], value)
        assert set(checkpoint.dtypes(section).values()) == {np.dtype(np.float32)}


def test_a_tied_table_is_read_with_both_its_sections(tmp_path):
    write_tiny_checkpoint(tmp_path / "m", "cohere", seed=5)
    checkpoint = open_checkpoint(str(tmp_path / "m"))
    np.testing.assert_array_equal(
        checkpoint.read("head")["output/embedding"], checkpoint.read("embed")["tokens/embedding"]
    )


def test_dtypes_may_differ_between_tensors(llama):
    edit_tensors(llama, **{_UP: read_all(llama)[_UP].astype(ml_dtypes.bfloat16)})
    checkpoint = open_checkpoint(str(llama))
    assert checkpoint.dtypes("blocks/1")["up_proj/kernel"] == ml_dtypes.bfloat16
    assert checkpoint.dtypes("blocks/1")["down_proj/kernel"] == np.float32
    assert checkpoint.read("blocks/1")["up_proj/kernel"].dtype == ml_dtypes.bfloat16


def test_the_fingerprint_is_that_of_the_weights(llama, tmp_path):
    before = open_checkpoint(str(llama)).fingerprint
    edit_json(llama / "config.json", initializer_range=0.5)
    (llama / "model.safetensors").touch()
    assert open_checkpoint(str(llama)).fingerprint == before
    write_tiny_checkpoint(tmp_path / "other", "llama", seed=6)
    assert open_checkpoint(str(tmp_path / "other")).fingerprint != before


@pytest.mark.parametrize("reference", ["nowhere", "./no/where", "no/such/place", "a.gguf", "b/c.gguf", "", "~/x y"])
def test_a_reference_to_nothing_lists_what_is_possible(reference, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(RequestError, match=r"a hub id org/name\[@revision\], or sample:NAME"):
        open_checkpoint(reference)


def test_a_file_that_is_no_model_is_refused(llama):
    with pytest.raises(RequestError, match=r"is a file, and no \.gguf file"):
        open_checkpoint(str(llama / "model.safetensors"))


@pytest.mark.parametrize("text", ["", "7", "[]", '{"model_type": "llama"', "{}", '{"model_type": "mamba"}'])
def test_a_bad_config_is_refused(llama, text):
    (llama / "config.json").write_text(text)
    with pytest.raises(RequestError):
        open_checkpoint(str(llama))


def test_a_missing_config_is_named(llama):
    (llama / "config.json").unlink()
    with pytest.raises(RequestError, match=r"config\.json is needed and is not there"):
        open_checkpoint(str(llama))


def test_code_that_a_config_names_is_not_looked_at(llama, tmp_path):
    edit_json(llama / "config.json", auto_map={"AutoModelForCausalLM": "evil.Model", "AutoConfig": "evil.Config"})
    (llama / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    checkpoint = open_checkpoint(str(llama))
    checkpoint.read("embed")
    checkpoint.tokenizer()
    out = tmp_path / "out"
    out.mkdir()
    checkpoint.write_companions(out, None)
    assert "auto_map" not in json.loads((out / "config.json").read_text())
    assert not (out / "evil.py").exists()
    assert not (tmp_path / "ran").exists()


def test_a_missing_tensor_is_named(llama):
    edit_tensors(llama, **{_UP: ...})
    with pytest.raises(RequestError, match=f"lacks 1 tensor that its config.json asks for: {_UP};"):
        open_checkpoint(str(llama))


def test_many_missing_tensors_are_counted(llama):
    edit_json(llama / "config.json", num_hidden_layers=3)
    with pytest.raises(RequestError, match=r"lacks 9 tensors that .*: model\.layers\.2\.\S+, .* and 6 more"):
        open_checkpoint(str(llama))


def test_a_wrong_shape_is_named(llama):
    edit_tensors(llama, **{_UP: np.zeros((56, 47), np.float32)})
    with pytest.raises(RequestError, match=rf"1 tensor of another shape.*{_UP} is \[56, 47\] and should be \[56, 48\]"):
        open_checkpoint(str(llama))


def test_a_left_over_tensor_is_named(llama):
    edit_tensors(llama, **{"model.layers.0.mlp.gate_proj.bias": np.zeros(56, np.float32)})
    with pytest.raises(RequestError, match=r"1 tensor that its config.json has no place for: .*gate_proj\.bias"):
        open_checkpoint(str(llama))


def test_rotary_frequencies_are_no_weights(llama):
    edit_tensors(llama, **{"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(6, np.float32)})
    open_checkpoint(str(llama)).read("blocks/0")


@pytest.mark.parametrize("dtype", [ml_dtypes.float8_e4m3fn, np.int8, np.float64])
def test_a_precision_that_is_not_supported_is_named(llama, dtype):
    edit_tensors(llama, **{_UP: np.ones((56, 48), np.float32)})
    header_name = {"float8_e4m3fn": "F8_E4M3", "int8": "I8", "float64": "F64"}[np.dtype(dtype).name]
    tensors = read_all(llama)
    tensors[_UP] = np.ones((56, 48), dtype)
    # The library writes no float8 from NumPy: each tensor's bytes and its header entry are put together here.
    entries, data = {}, b""
    for name, value in tensors.items():
        kind = header_name if name == _UP else "F32"
        entries[name] = {
            "dtype": kind,
            "shape": value.shape,
            "data_offsets": [len(data), len(data) + value.nbytes],
        }
        data += value.tobytes()
    text = json.dumps(entries).encode()
    (llama / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    with pytest.raises(RequestError, match=f"1 tensor in a precision.*: {_UP} is stored as {np.dtype(dtype).name}"):
        open_checkpoint(str(llama))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_a_value_that_is_no_number_is_traced_to_its_tensor(tmp_path, value, dtype):
    write_tiny_checkpoint(tmp_path / "m", "llama", dtype=np.dtype(dtype).name)
    broken = read_all(tmp_path / "m")[_UP]
    broken[-1, -1] = broken[3, 4] = value
    edit_tensors(tmp_path / "m", **{_UP: broken})
    checkpoint = open_checkpoint(str(tmp_path / "m"))
    checkpoint.read("blocks/0")
    with pytest.raises(RequestError, match=f"tensor {_UP} holds 2 NaN or infinite values"):
        checkpoint.read("blocks/1")


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_the_largest_numbers_are_numbers(tmp_path, dtype):
    write_tiny_checkpoint(tmp_path / "m", "llama", dtype=np.dtype(dtype).name)
    largest = read_all(tmp_path / "m")[_UP]
    largest[0, :2] = np.asarray([ml_dtypes.finfo(dtype).max, ml_dtypes.finfo(dtype).min], dtype)
    edit_tensors(tmp_path / "m", **{_UP: largest})
    assert open_checkpoint(str(tmp_path / "m")).read("blocks/1")["up_proj/kernel"][0, 0] == ml_dtypes.finfo(dtype).max


def test_a_head_stored_beside_its_tied_table_is_accepted_only_if_equal(tmp_path):
    folder = tmp_path / "tied"
    table = write_tiny_checkpoint(folder, "llama", tie_word_embeddings=True)["model.embed_tokens.weight"]
    edit_tensors(folder, **{"lm_head.weight": table.copy()})
    assert "output/kernel" not in open_checkpoint(str(folder)).read("head")
    other = table.copy()
    other[-1, -1] += 1
    edit_tensors(folder, **{"lm_head.weight": other})
    with pytest.raises(RequestError, match=r"tie_word_embeddings, but lm_head\.weight differs"):
        open_checkpoint(str(folder))


def test_a_damaged_file_gives_values_or_a_request_error(tmp_path):
    folder = tmp_path / "m"
    write_tiny_checkpoint(folder, "llama", num_hidden_layers=1, with_tokenizer=False)
    path = folder / "model.safetensors"
    sound = path.read_bytes()
    header_end = 8 + int.from_bytes(sound[:8], "little")
    rng = np.random.default_rng(1)
    outcomes = set()
    for round_ in range(60):
        damaged = bytearray(sound)
        if round_ % 3 == 0:
            del damaged[rng.integers(len(damaged)) :]
        else:
            for position in rng.integers(0, header_end if round_ % 3 == 1 else len(sound), 2):
                damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            checkpoint = open_checkpoint(str(folder))
            for section in checkpoint.model.sections:
                checkpoint.read(section)
            outcomes.add("read")
        except RequestError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_the_tokenizer_is_the_folders(llama):
    tokenizer = open_checkpoint(str(llama)).tokenizer()
    text = "größer и ближе"
    assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text


def test_a_folder_without_tokenizer_says_so(llama):
    (llama / "tokenizer.json").unlink()
    with pytest.raises(RequestError, match=r"has no tokenizer .*add its files\. Only prune"):
        open_checkpoint(str(llama)).tokenizer()


@pytest.mark.parametrize("text", ["", "{}", "[1", '{"version": "1.0", "model": {"type": "BPE"}}'])
def test_a_broken_tokenizer_is_a_request_error(llama, text):
    (llama / "tokenizer.json").write_text(text)
    with pytest.raises(RequestError, match=r"the tokenizer in .* cannot be built"):
        open_checkpoint(str(llama)).tokenizer()


def test_the_generation_config_is_the_folders_and_may_be_missing(llama):
    assert open_checkpoint(str(llama)).generation_config()["eos_token_id"] == 1
    edit_json(llama / "generation_config.json", eos_token_id=[1, 7])
    assert open_checkpoint(str(llama)).generation_config()["eos_token_id"] == [1, 7]
    (llama / "generation_config.json").write_text("[1]")
    with pytest.raises(RequestError, match=r"generation_config\.json should hold a JSON object"):
        open_checkpoint(str(llama)).generation_config()
    (llama / "generation_config.json").unlink()
    assert open_checkpoint(str(llama)).generation_config() == {}
