"""Heads, neurons and hidden channels, against loops over boolean masks."""

import numpy as np
import pytest

from jaxprune.analysis.competition import Competition
from jaxprune.analysis.masks import count_masks
from jaxprune.analysis.packed_masks import PackedMasks
from jaxprune.analysis.zeros import summarise
from tests.analysis.mask_files import block_masks, write_masks

HEAD_DIM = 5


def summarised(tmp_path, *masks, head_dim=HEAD_DIM, top=100, competitions=None):
    for index, of_run in enumerate(masks):
        write_masks(tmp_path / str(index), of_run)
    runs = [PackedMasks(tmp_path / str(index)) for index in range(len(masks))]
    competitions = competitions or [Competition()] * len(runs)
    return summarise(count_masks(runs), competitions, head_dim=head_dim, top=top)[1]


def names(block):
    return [f"model.layers.{block}.{where}.weight" for where in (
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
        "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
    )]  # fmt: skip


def zeros_of(*parts):
    """Returns the share of zeros among all weights of the parts."""
    return sum((~part).sum() for part in parts) / sum(part.size for part in parts)


def as_dict(spread):
    return dict(spread.most)


def test_units_are_what_they_should_be(tmp_path):
    masks = [block_masks(np.random.default_rng(seed), 2, kept=0.6) for seed in (0, 1)]
    found = summarised(tmp_path, *masks)
    for of_run, zeros in zip(masks, found, strict=True):
        for block in (0, 1):
            q, k, v, o, gate, up, down = (of_run[name] for name in names(block))
            units = zeros.blocks[block]
            assert list(units) == ["query_heads", "key_value_heads", "neurons"]
            heads = [slice(HEAD_DIM * h, HEAD_DIM * (h + 1)) for h in range(6)]
            assert as_dict(units["query_heads"]) == pytest.approx(
                {h: zeros_of(q[rows], o[:, rows]) for h, rows in enumerate(heads)}
            )
            assert as_dict(units["key_value_heads"]) == pytest.approx(
                {h: zeros_of(k[rows], v[rows]) for h, rows in enumerate(heads[:3])}
            )
            assert as_dict(units["neurons"]) == pytest.approx(
                {n: zeros_of(gate[n], up[n], down[:, n]) for n in range(43)}
            )
            down_name = names(block)[-1]
            assert as_dict(zeros.kernels[down_name].outputs) == pytest.approx({i: zeros_of(down[i]) for i in range(27)})
            assert as_dict(zeros.kernels[down_name].inputs) == pytest.approx(
                {i: zeros_of(down[:, i]) for i in range(43)}
            )
        hidden = {
            i: zeros_of(
                *(part for block in (0, 1) for q, k, v, o, gate, up, down in [[of_run[name] for name in names(block)]]
                  for part in (q[:, i], k[:, i], v[:, i], gate[:, i], up[:, i], o[i], down[i]))
            )
            for i in range(27)
        }  # fmt: skip
        assert as_dict(zeros.hidden) == pytest.approx(hidden)


def test_a_planted_head_and_a_planted_neuron_are_named(tmp_path):
    masks = block_masks(np.random.default_rng(0), 2, kept=0.9)
    masks["model.layers.1.self_attn.q_proj.weight"][20:25] = False
    masks["model.layers.1.self_attn.o_proj.weight"][:, 20:25] = False
    for where in ("gate", "up"):
        masks[f"model.layers.0.mlp.{where}_proj.weight"][31] = False
    even = block_masks(np.random.default_rng(1), 2, kept=0.5)
    found, other = summarised(tmp_path, masks, even, top=1)
    assert found.blocks[1]["query_heads"].most == ((4, 1.0),)
    assert found.blocks[1]["query_heads"].gini > 4 * found.blocks[1]["query_heads"].gini_by_chance
    assert found.blocks[0]["query_heads"].gini < 2 * found.blocks[0]["query_heads"].gini_by_chance
    [(neuron, sparsity)] = found.blocks[0]["neurons"].most
    assert neuron == 31
    assert 2 / 3 < sparsity < 0.9
    neurons, others = (found.blocks[block]["neurons"] for block in (0, 1))
    assert neurons.gini > 1.3 * neurons.gini_by_chance
    assert others.gini < 1.3 * others.gini_by_chance
    assert found.mean_gini("neurons")["gini"] == pytest.approx((neurons.gini + others.gini) / 2)
    # Nothing was planted in the other.
    for kind in ("query_heads", "key_value_heads", "neurons"):
        mean = other.mean_gini(kind)
        assert mean["gini"] < 1.5 * mean["by_chance"]


def exactly(rng, shape, pruned):
    """Returns a mask that prunes so many of each row, any as likely."""
    return rng.random(shape).argsort(axis=1).argsort(axis=1) >= pruned


def test_chance_is_that_of_each_runs_pattern(tmp_path):
    """One run prunes 13 of each output's inputs; the other, half of every kernel, wherever."""
    rng = np.random.default_rng(0)
    shapes = {name: mask.shape for name, mask in block_masks(rng, 40).items()}
    by_output = {name: exactly(rng, shape, 13) for name, shape in shapes.items()}
    by_kernel = {
        name: exactly(rng, (1, d_out * d_in), d_out * d_in // 2).reshape(d_out, d_in)
        for name, (d_out, d_in) in shapes.items()
    }
    of_one = Competition(None, is_of_one_output=True)
    outputs, kernel = summarised(tmp_path, by_output, by_kernel, competitions=[of_one, Competition()])
    even = outputs.mean_gini("key_value_heads")
    assert even["by_chance"] == 0
    assert even["gini"] == pytest.approx(0, abs=1e-15)
    assert all(of.outputs.gini_by_chance == 0 for of in outputs.kernels.values())
    means = [zeros.mean_gini(kind) for zeros in (outputs, kernel) for kind in ("query_heads", "neurons")]
    for mean in (*means, kernel.mean_gini("key_value_heads")):
        assert mean["gini"] == pytest.approx(mean["by_chance"], rel=0.08)
    assert outputs.hidden.gini == pytest.approx(outputs.hidden.gini_by_chance, rel=0.3)
    # Of a neuron's three kernels chance is left one.
    assert means[1]["by_chance"] < 0.75 * means[3]["by_chance"]


def test_without_a_width_heads_are_left_out(tmp_path):
    masks = block_masks(np.random.default_rng(0))
    found, _ = summarised(tmp_path, masks, masks, head_dim=None)
    assert list(found.blocks[0]) == ["neurons"]
    assert found.mean_gini("query_heads") is None


def test_kernels_without_masks_take_their_units_with_them(tmp_path):
    masks = block_masks(np.random.default_rng(0), 2)
    del masks["model.layers.1.mlp.down_proj.weight"], masks["model.layers.1.self_attn.k_proj.weight"]
    found, _ = summarised(tmp_path, masks, masks)
    assert list(found.blocks[0]) == ["query_heads", "key_value_heads", "neurons"]
    assert list(found.blocks[1]) == ["query_heads"]
    assert found.hidden is None
