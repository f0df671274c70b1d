"""Blocks that go on from a cache compute what they compute of the whole, whatever each row has in it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxprune.models import build_model
from jaxprune.models.cache import Cache, cached_attention
from jaxprune.models.causal_lm import block_section
from jaxprune.models.rotary import rotate
from tests.models.reference import assert_close
from tests.models.test_attention import plain_attention, random_qkv
from tests.tiny import tiny_config, tiny_params

LENGTHS = np.asarray([3, 8], np.int32)
PIECES = (1, 3, 1)
TOTAL = LENGTHS + sum(PIECES)
NUM_SLOTS = 19


def rows_at(array, start, count):
    """Returns ``count`` tokens of each row from its own ``start`` on; past the end, anything."""
    padded = np.pad(np.asarray(array), ((0, 0), (0, NUM_SLOTS), *[(0, 0)] * (array.ndim - 2)), constant_values=7.0)
    return jnp.asarray(np.stack([row[begin : begin + count] for row, begin in zip(padded, start, strict=True)]))


def walk(step, width):
    """Yields for the prompts (rows filled up with noise) and for each piece: first positions, counts, and output."""
    output, cache = step(np.zeros(2, np.int32), width, None)
    cache = cache.with_slots(NUM_SLOTS)._replace(lengths_B=jnp.asarray(LENGTHS))
    yield np.zeros(2, np.int32), LENGTHS, output
    start = LENGTHS
    for count in PIECES:
        output, cache = step(start, count, cache)
        yield start, np.full(2, count), output
        start = start + count
    np.testing.assert_array_equal(cache.lengths_B, TOTAL)


@pytest.mark.parametrize(("kv_heads", "window"), [(1, 4), (3, None), (3, 1), (6, 100)])
def test_attention_in_pieces_equals_plain_attention(kv_heads, window):
    qkv = random_qkv(max(TOTAL), kv_heads=kv_heads)
    wanted = plain_attention(*qkv, scale=0.37, window=window)
    window = None if window is None else np.array(window, np.int32)
    attend = jax.jit(functools.partial(cached_attention, scale=0.37, window=window))

    def step(start, count, cache):
        return attend(*(rows_at(x, start, count) for x in qkv), cache)

    for start, counts, output in walk(step, max(LENGTHS)):
        for row in range(2):
            found = output[row, : counts[row]]
            assert_close(found, wanted[row, start[row] : start[row] + counts[row]], relative=1e-5)


@pytest.mark.parametrize("model_type", ["cohere", "gemma3_text", "qwen2"])
def test_blocks_in_pieces_equal_the_whole(model_type):
    config = tiny_config(model_type)
    model, params = build_model(config), tiny_params(config, seed=0)
    x = np.random.default_rng(0).standard_normal((2, max(TOTAL), config["hidden_size"])).astype(np.float32)
    run, run_whole = jax.jit(model.cached_block), jax.jit(model.block)
    for index in range(model.num_blocks):
        of_block, constants = params[block_section(index)], model.constants(index)
        whole, _ = run_whole(of_block, constants, x)

        def step(start, count, cache, of_block=of_block, constants=constants):
            return run(of_block, constants, rows_at(x, start, count), cache)

        for start, counts, output in walk(step, max(LENGTHS)):
            for row in range(2):
                found = output[row, : counts[row]]
                assert_close(found, whole[row, start[row] : start[row] + counts[row]], relative=1e-5)


def test_without_a_cache_a_block_is_the_same_bit_for_bit():
    config = tiny_config("gemma3_text")
    model, params = build_model(config), tiny_params(config, seed=0)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 7, config["hidden_size"])), jnp.float32)
    wanted, _ = jax.jit(model.block)(params["blocks/0"], model.constants(0), x)
    found, cache = jax.jit(model.cached_block)(params["blocks/0"], model.constants(0), x, None)
    np.testing.assert_array_equal(found, wanted)
    assert cache.keys_BKSH.shape == (2, config["num_key_value_heads"], 7, model.config.head_dim)
    np.testing.assert_array_equal(cache.lengths_B, [7, 7])


@pytest.mark.parametrize("window", [None, np.array(3, np.int32)])
def test_empty_slots_are_never_seen(window):
    q, k, v = map(jnp.asarray, random_qkv(2))
    shape = (2, 3, 9, 10)
    outputs = []
    for filling in (0.0, 1e6):
        slots = jnp.full(shape, filling).at[:, :, :4].set(0.5)
        cache = Cache(slots, slots, jnp.asarray([4, 4]))
        outputs.append(cached_attention(q, k, v, cache, scale=0.37, window=window)[0])
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize("interleaved", [False, True])
def test_positions_go_on_where_the_cache_ends(interleaved):
    x = np.random.default_rng(0).standard_normal((2, 300, 3, 10)).astype(np.float32)
    frequencies = np.asarray([1.0, 0.3, 0.1, 0.03, 0.01], np.float32)
    whole = rotate(jnp.asarray(x), frequencies, interleaved=interleaved)
    slots = jnp.zeros((2, 3, 1, 10))
    start = np.asarray([5, 290], np.int32)
    cache = Cache(slots, slots, jnp.asarray(start))
    found = rotate(rows_at(x, start, 4), frequencies, interleaved=interleaved, cache=cache)
    np.testing.assert_array_equal(found, rows_at(whole, start, 4))
