"""``jaxprune convert``."""

import json

import numpy as np
import pytest
from safetensors import safe_open

from tests.cli.run import run


def test_there_and_back_is_bit_exact(capsys, tmp_path, tiny):
    there = run(capsys, "convert", tiny, tmp_path / "orbax", "--to", "orbax", "--json")
    assert there.status == 0, there.err
    assert json.loads(there.out)["format"] == "orbax"
    assert run(capsys, "convert", tmp_path / "orbax", tmp_path / "back", "--to", "huggingface").status == 0
    with (
        safe_open(tiny / "model.safetensors", "numpy") as a,
        safe_open(tmp_path / "back" / "model.safetensors", "numpy") as b,
    ):
        assert set(a.keys()) == set(b.keys())
        for name in a.keys():  # noqa: SIM118
            assert a.get_tensor(name).tobytes() == b.get_tensor(name).tobytes()
    assert (tmp_path / "back" / "tokenizer.json").read_bytes() == (tiny / "tokenizer.json").read_bytes()


def test_another_dtype_rounds(capsys, tmp_path, tiny):
    done = run(capsys, "convert", tiny, tmp_path / "out", "--to", "huggingface", "--dtype", "bfloat16")
    assert done.status == 0, done.err
    with (
        safe_open(tiny / "model.safetensors", "numpy") as a,
        safe_open(tmp_path / "out" / "model.safetensors", "numpy") as b,
    ):
        for name in a.keys():  # noqa: SIM118
            np.testing.assert_array_equal(b.get_tensor(name), a.get_tensor(name).astype(b.get_tensor(name).dtype))
            assert b.get_tensor(name).dtype.name == "bfloat16"
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config.get("dtype") or config.get("torch_dtype")) == "bfloat16"


@pytest.mark.parametrize("arguments", [["--to", "gguf"], ["--to", "orbax", "--dtype", "int4"]])
def test_a_wrong_request_ends_with_2_and_leaves_nothing(capsys, tmp_path, tiny, arguments):
    assert run(capsys, "convert", tiny, tmp_path / "out", *arguments).status == 2
    assert run(capsys, "convert", tmp_path / "missing", tmp_path / "out", "--to", "orbax").status == 2
    assert not list(tmp_path.iterdir())
