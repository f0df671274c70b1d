"""What can be asked for, what cannot, and how many zeros it means."""

import fractions

import jax
import numpy as np
import pytest

from jaxprune.errors import RequestError
from jaxprune.pruning.patterns import NM, Unstructured, parse_pattern


@pytest.mark.parametrize(
    ("text", "within", "pattern"),
    [
        ("0.5", None, Unstructured(0.5, "kernel")),
        (" .25 ", "output", Unstructured(0.25, "output")),
        ("0", "block", Unstructured(0.0, "block")),
        ("1e-3", None, Unstructured(0.001, "kernel")),
        ("2:4", None, NM(2, 4)),
        ("16:32", None, NM(16, 32)),
        ("3:3", None, NM(3, 3)),
    ],
)
def test_patterns_are_read(text, within, pattern):
    assert parse_pattern(text, within, "kernel") == pattern


@pytest.mark.parametrize(
    ("text", "within", "message"),
    [
        ("1", None, r"sparsity 1 is not in \[0, 1\)"),
        ("50", None, r"sparsity 50 is not in \[0, 1\)"),
        ("-0.1", None, r"sparsity -0.1 is not in"),
        ("nan", None, "sparsity nan is not in"),
        ("inf", None, "sparsity inf is not in"),
        ("50%", None, "'50%' cannot be read"),
        ("", None, "'' cannot be read"),
        ("half", None, "'half' cannot be read"),
        ("0,5", None, "'0,5' cannot be read"),
        ("2:4:8", None, "'2:4:8' cannot be read"),
        ("-2:4", None, "'-2:4' cannot be read"),
        ("2.0:4", None, "'2.0:4' cannot be read"),
        ("٢:٤", None, "cannot be read"),
        ("4:2", None, "pattern 4:2 is not possible"),
        ("0:4", None, "pattern 0:4 is not possible"),
        ("1:1", None, "pattern 1:1 is not possible"),
        ("2:4", "output", "--within output has no meaning for 2:4"),
        ("0.5", "layer", "--within 'layer' is unknown; choose output, kernel, block"),
    ],
)
def test_requests_that_make_no_pattern_are_refused(text, within, message):
    with pytest.raises(RequestError, match=message):
        parse_pattern(text, within, "kernel")


def test_a_width_that_groups_do_not_fill_is_refused():
    NM(2, 4).check_width(204)
    Unstructured(0.5, "kernel").check_width(203)
    with pytest.raises(RequestError, match="2:4 needs a number of inputs that 4 divides, and there are 203"):
        NM(2, 4).check_width(203)


def test_patterns_name_themselves_as_they_are_typed():
    assert [str(parse_pattern(text, None, "output")) for text in ("0.37", "2:4")] == ["0.37", "2:4"]


@pytest.mark.parametrize(("sparsity", "size", "count"), [(0.29, 100, 29), (0.57, 100, 57), (0.7, 10, 7), (0.999, 7, 6)])
def test_counts_are_those_of_the_decimal_that_was_typed(sparsity, size, count):
    assert Unstructured(sparsity, "kernel").num_pruned(size) == count


@pytest.mark.parametrize("within", ["output", "kernel", "block"])
@pytest.mark.parametrize("sparsity", [0.0, 0.07, 0.29, 0.5, 0.999])
@pytest.mark.parametrize(("d_in", "d_out", "width"), [(203, 3, 128), (128, 1, 128), (7, 5, 16), (1000, 1, 3)])
def test_counts_of_blocks_add_up(within, sparsity, d_in, d_out, width):
    counts = Unstructured(sparsity, within).block_counts(d_in, d_out, width)
    competing = d_in if within == "output" else d_in * d_out
    assert counts.sum() == int(fractions.Fraction(str(sparsity)) * competing)
    per_block = np.minimum(width, d_in - np.arange(0, d_in, width)) * (competing // d_in)
    assert (np.abs(counts - sparsity * per_block) < 1).all()


@pytest.mark.parametrize("sparsity", [0.0, 0.37, 0.99])
def test_masks_hold_the_number_of_zeros_that_the_scope_says(sparsity):
    distinct = np.random.default_rng(0).random((203, 5)).astype(np.float32)
    exact = fractions.Fraction(str(sparsity))
    mask = {within: jax.jit(Unstructured(sparsity, within).mask) for within in ("output", "kernel", "block")}
    for scores in (distinct, np.zeros_like(distinct)):
        zeros = {within: ~np.asarray(mask[within](scores)) for within in mask}
        np.testing.assert_array_equal(zeros["output"].sum(0), int(exact * 203))
        assert zeros["kernel"].sum() == int(exact * 1015)
        assert zeros["block"].sum() == int(exact * 1015)
        assert zeros["block"][:128].sum() == int(exact * 640)


def test_equal_scores_go_output_by_output():
    """In the order in which published kernels ``[d_out, d_in]`` lie in memory."""
    scores = np.ones((130, 4), np.float32)
    zeros = ~np.asarray(jax.jit(Unstructured(0.4, "kernel").mask)(scores))
    np.testing.assert_array_equal(zeros.T.ravel(), np.arange(520) < 208)
    zeros = ~np.asarray(jax.jit(Unstructured(0.5, "block").mask)(scores))
    np.testing.assert_array_equal(zeros.sum(0), [130, 130, 0, 0])
    zeros = ~np.asarray(jax.jit(Unstructured(0.5, "output").mask)(scores))
    np.testing.assert_array_equal(zeros, np.repeat(np.arange(130)[:, None] < 65, 4, axis=1))


def test_scopes_choose_differently():
    # The second half of the inputs scores higher, and the last output higher still.
    scores = np.random.default_rng(1).random((256, 4)).astype(np.float32)
    scores[128:] += 1
    scores[:, 3] += 2
    zeros = {
        within: ~np.asarray(jax.jit(Unstructured(0.5, within).mask)(scores)) for within in ("output", "kernel", "block")
    }
    assert zeros["output"][:128].all()
    assert not zeros["output"][128:].any()
    assert zeros["kernel"][:128, :3].all()
    assert not zeros["kernel"][:, 3].any()
    assert zeros["block"][:128].sum() == zeros["block"][128:].sum() == 256
    assert not zeros["block"][:, 3].any()
