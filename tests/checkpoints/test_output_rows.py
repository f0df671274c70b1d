"""Kernels and masks turned round on the devices: what NumPy makes of them."""

import ml_dtypes
import numpy as np
import pytest

from jaxprune.checkpoints import output_rows
from jaxprune.checkpoints.output_rows import packed_rows_of, rows_of
from jaxprune.sharding import make_mesh, place, solve_sharding


@pytest.fixture(params=[False, True], ids=["as on a CPU", "as on an accelerator"])
def _platform(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(output_rows, "_is_on_accelerator", lambda array: not isinstance(array, np.ndarray))


@pytest.mark.usefixtures("_platform")
@pytest.mark.parametrize("axes", [{"data": 1, "model": 1}, {"data": 2, "model": 2}])
@pytest.mark.parametrize("d_in", [16, 13])
def test_rows_are_outputs_each_once(axes, d_in):
    mesh = make_mesh(axes)
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((d_in, 8)).astype(ml_dtypes.bfloat16)
    mask = rng.random((d_in, 8)) < 0.5
    for array, rows, wanted in (
        (kernel, lambda array: rows_of(array, is_kernel=True), kernel.T),
        (mask, packed_rows_of, np.packbits(mask.T, axis=1, bitorder="little")),
    ):
        for value in (array, place(array, solve_sharding(mesh, array.shape))):
            found = np.zeros_like(wanted)
            times = np.zeros(8, int)
            for first, part in rows(value):
                part = np.asarray(part)
                found[first : first + len(part)] = part
                times[first : first + len(part)] += 1
            np.testing.assert_array_equal(found, wanted)
            assert times.tolist() == [1] * 8


@pytest.mark.usefixtures("_platform")
def test_what_is_no_kernel_stays_as_it_is():
    ((first, part),) = rows_of(np.arange(6.0).reshape(2, 3), is_kernel=False)
    assert first == 0
    np.testing.assert_array_equal(part, [[0, 1, 2], [3, 4, 5]])
