"""Precision: what counts as a number, and how values are rounded."""

import ml_dtypes
import numpy as np
import pytest
import torch

from jaxprune.checkpoints import casting, open_checkpoint
from jaxprune.checkpoints.casting import all_finite, cast
from jaxprune.errors import RequestError
from tests.tiny import tiny_params, write_tiny_checkpoint


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_every_half_precision_value_is_judged_as_by_numpy(dtype):
    values = np.arange(2**16, dtype=np.uint16).view(dtype)
    finite = np.isfinite(values.astype(np.float32))
    assert all_finite(values[finite])
    judged = np.asarray([all_finite(value.reshape(1)) for value in values[~finite]])
    assert len(judged) > 200
    assert not judged.any()


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_one_bad_value_is_found_wherever_it_is(monkeypatch, value):
    monkeypatch.setattr(casting, "_CHUNK_VALUES", 8)
    sound = np.full((5, 7), 3e38, np.float32)
    assert all_finite(sound)
    for position in range(sound.size):
        broken = sound.copy()
        broken.flat[position] = value
        assert not all_finite(broken)
        assert not all_finite(broken.T)
        assert not all_finite(np.repeat(broken, 2, axis=1)[:, ::2])  # neither row- nor column-major


def test_casting_to_bfloat16_rounds_as_torch_does():
    values = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    values[:2] = [1 + 2**-8, 1 + 3 * 2**-8]  # halfway: to even, down and up
    found = cast(values, np.dtype(ml_dtypes.bfloat16), "a")
    expected = torch.tensor(values).to(torch.bfloat16)
    np.testing.assert_array_equal(found.view(np.uint16), expected.view(torch.uint16).numpy())


def test_the_same_dtype_is_no_copy():
    values = np.ones(3, np.float32)
    assert cast(values, np.dtype(np.float32), "a") is values


def test_overflow_names_the_tensor_and_its_largest_value():
    with pytest.raises(RequestError, match=r"^x\.weight has values that float16 cannot hold \(its largest is 70000"):
        cast(np.asarray([1.0, -7e4], np.float32), np.dtype(np.float16), "x.weight")


def test_sections_are_read_in_the_asked_precision(tmp_path):
    write_tiny_checkpoint(tmp_path / "m", "llama", seed=3)
    checkpoint = open_checkpoint(str(tmp_path / "m"))
    expected = tiny_params(checkpoint.config, seed=3)
    for dtype in (None, np.dtype(ml_dtypes.bfloat16)):
        for section in checkpoint.model.sections:
            found = checkpoint.parameters(section, dtype)
            assert found.keys() == expected[section].keys()
            for path, value in expected[section].items():
                np.testing.assert_array_equal(found[path], value if dtype is None else value.astype(dtype))
                assert found[path].dtype == (dtype or np.float32)
