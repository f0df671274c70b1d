"""Continuations against transformers', of each prompt alone, whatever batch, mesh, length and end."""

import collections
import functools

import jax
import numpy as np
import pytest
import torch

from jaxprune.errors import RequestError
from jaxprune.evaluation.decoder import Decoder, group_size
from jaxprune.evaluation.generation import Generator, round_up_batch, round_up_length
from jaxprune.evaluation.sampling import Sampling
from jaxprune.models import FAMILIES, build_model
from jaxprune.sharding import make_mesh
from tests.models.reference import Pair, logits, make_pair
from tests.tiny import VOCAB_SIZE, tiny_config, tiny_params

NEW_TOKENS = 40
# Untied, because a tied model of random weights says one token again and again. Windows are 5 tokens long.
CHANGES = {
    "llama": {},
    "cohere": {"tie_word_embeddings": False, "use_qk_norm": True},
    "gemma3_text": {"tie_word_embeddings": False},
    "qwen2": {"num_hidden_layers": 4, "max_window_layers": 2},
}
ONE_DEVICE = {"data": 1, "model": 1}

each_family = pytest.mark.parametrize("model_type", sorted(FAMILIES))


@functools.cache
def pair_of(model_type) -> Pair:
    return make_pair(tiny_config(model_type, **CHANGES[model_type]))


def prompts_of(*lengths):
    return [np.random.default_rng(length).integers(3, VOCAB_SIZE, length) for length in lengths]


PROMPTS = prompts_of(1, 7, 23, 12)


@functools.cache
def generator_of(model_type, dtype="float32", batch_size=8, **mesh):
    pair = pair_of(model_type)
    mesh = make_mesh(mesh or ONE_DEVICE)
    return Generator(pair.params.__getitem__, pair.model, mesh=mesh, dtype=dtype, batch_size=batch_size)


def tokens_of(generated):
    return [completion.tokens_T.tolist() for completion in generated.completions]


@functools.cache
def greedy(model_type):
    return tokens_of(generator_of(model_type).generate(PROMPTS, max_new_tokens=NEW_TOKENS))


def theirs(model_type, prompt, *, max_new_tokens=NEW_TOKENS, stop_tokens=None):
    tokens = torch.tensor(prompt[None])
    with torch.no_grad():
        whole = pair_of(model_type).theirs.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=stop_tokens,
        )
    return whole[0, len(prompt) :].tolist()


@each_family
def test_tokens_equal_transformers(model_type):
    """Of prompts of unequal length together, each as transformers has it alone."""
    found = greedy(model_type)
    for prompt, tokens in zip(PROMPTS, found, strict=True):
        assert tokens == theirs(model_type, prompt)
        assert len(set(tokens)) > 8


@pytest.mark.parametrize("model_type", ["llama", "gemma3_text"])
def test_a_mesh_changes_nothing(model_type):
    """Key/value heads go over the model axis where they divide (gemma's two), and stay together where not (three)."""
    generated = generator_of(model_type, data=4, model=2).generate(PROMPTS, max_new_tokens=NEW_TOKENS)
    assert tokens_of(generated) == greedy(model_type)


def test_order_and_company_do_not_change_what_is_drawn():
    """One alone, two together, the last of them not full, or four, on one device or a mesh."""
    sampling = Sampling(temperature=0.9, top_p=0.95, top_k=100, seed=3)
    drawn = tokens_of(generator_of("llama").generate(PROMPTS, max_new_tokens=NEW_TOKENS, sampling=sampling))
    on_mesh = generator_of("llama", data=4, model=2)
    assert tokens_of(on_mesh.generate(PROMPTS, max_new_tokens=NEW_TOKENS, sampling=sampling)) == drawn
    order = (1, 0, 3, 1, 0)
    shuffled = [PROMPTS[i] for i in order]
    in_pairs = generator_of("llama", batch_size=2).generate(shuffled, max_new_tokens=NEW_TOKENS, sampling=sampling)
    assert tokens_of(in_pairs) == [drawn[i] for i in order]
    alone = generator_of("llama").generate(shuffled[:1], max_new_tokens=NEW_TOKENS, sampling=sampling)
    assert tokens_of(alone) == [drawn[1]]
    other = generator_of("llama").generate(
        PROMPTS, max_new_tokens=NEW_TOKENS, sampling=Sampling(temperature=2.0, seed=4)
    )
    assert all(len({*map(tuple, tokens)}) == 3 for tokens in zip(tokens_of(other), drawn, greedy("llama"), strict=True))


def test_bfloat16_chooses_what_float32_finds_nearly_likeliest():
    pair = pair_of("gemma3_text")
    generated = generator_of("gemma3_text", dtype="bfloat16").generate(PROMPTS, max_new_tokens=NEW_TOKENS)
    width = max(map(len, PROMPTS)) + NEW_TOKENS
    wholes = [np.concatenate(parts) for parts in zip(PROMPTS, tokens_of(generated), strict=True)]
    padded = np.stack([np.pad(whole, (0, width - len(whole))) for whole in wholes]).astype(np.int32)
    for prompt, whole, of_row in zip(PROMPTS, wholes, logits(pair, padded, transform=jax.jit), strict=True):
        of_new = of_row[len(prompt) - 1 : len(whole) - 1]
        chosen = of_new[np.arange(NEW_TOKENS), whole[len(prompt) :]]
        assert (of_new.max(axis=-1) - chosen <= 0.05 * of_new.std()).all()


def test_a_continuation_ends_with_the_first_stop_token():
    """Of several, and in its own time; transformers has the same, and keeps the token."""
    whole = greedy("llama")
    stop_tokens = [whole[0][5], whole[2][20]]
    generated = generator_of("llama").generate(PROMPTS, max_new_tokens=NEW_TOKENS, stop_tokens=stop_tokens)
    found = tokens_of(generated)
    assert found == [theirs("llama", prompt, stop_tokens=stop_tokens) for prompt in PROMPTS]
    assert len({len(tokens) for tokens in found}) > 1
    for tokens, completion in zip(found, generated.completions, strict=True):
        assert completion.is_stopped == (tokens[-1] in stop_tokens)


def test_a_caller_can_end_continuations_and_hears_of_all_tokens():
    """Those that are not made any more included, so that progress reaches its end."""
    seen = []
    generated = generator_of("llama").generate(
        PROMPTS,
        max_new_tokens=NEW_TOKENS,
        is_complete=lambda tokens: len(tokens) == 3 or tokens[0] == greedy("llama")[0][0],
        on_tokens=seen.append,
    )
    assert tokens_of(generated) == [greedy("llama")[0][:1], *(tokens[:3] for tokens in greedy("llama")[1:])]
    assert all(completion.is_stopped for completion in generated.completions)
    assert sum(seen) == len(PROMPTS) * NEW_TOKENS
    assert generated.tokens_per_second > 0


def test_one_token_is_no_special_case():
    generated = generator_of("llama").generate(PROMPTS, max_new_tokens=1)
    assert tokens_of(generated) == [tokens[:1] for tokens in greedy("llama")]
    assert not any(completion.is_stopped for completion in generated.completions)
    assert generated.tokens_per_second is None


@pytest.fixture
def compilations():
    """Counts what is compiled, by name."""
    names = collections.Counter()

    def listen(event, duration, **details):
        if event == "/jax/core/compile/backend_compile_duration":
            names[details["fun_name"]] += 1

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


STEPS = ("jit(_embed)", "jit(_prefill)", "jit(_decode)", "jit(_choose)")


def test_steps_are_compiled_once_however_deep_long_or_often(compilations):
    # A width that no other test has, so that nothing is compiled already.
    config = tiny_config("llama", num_hidden_layers=16, head_dim=8, intermediate_size=64)
    generator = Generator(
        tiny_params(config, seed=0).__getitem__, build_model(config), mesh=make_mesh(ONE_DEVICE), dtype="float32"
    )
    sampling = Sampling(temperature=1.0)
    generator.generate(prompts_of(20, 3), max_new_tokens=64, sampling=sampling)
    # Many tokens at once for the prompt, and one at a time after it.
    assert [compilations[step] for step in STEPS] == [2, 1, 1, 1]
    compilations.clear()
    other = Sampling(temperature=0.7, seed=5)
    generator.generate(prompts_of(31, 17), max_new_tokens=58, stop_tokens=[5, 6], sampling=other)
    assert not [compilations[step] for step in STEPS if compilations[step]]


def test_the_cache_is_updated_where_it_lies():
    pair = pair_of("gemma3_text")
    mesh = make_mesh({"data": 2, "model": 2})
    decoder = Decoder(pair.params.__getitem__, pair.model, mesh=mesh, dtype="float32")
    decoding = decoder.start(np.ones((2, 16), np.int32), np.asarray([3, 16], np.int32), slots=48)

    def places(decoding):
        arrays = [array for group in decoding.kept for of_block in group for array in of_block]
        return [shard.data.unsafe_buffer_pointer() for array in arrays for shard in array.addressable_shards]

    before = places(decoding)
    tokens, _ = decoder.choose(decoding, 0, None)
    extended = decoder.extend(decoding, tokens)
    assert places(extended) == before
    assert decoding.kept[0][0].keys_BKSH.is_deleted()
    assert extended.kept[0][0].keys_BKSH.addressable_shards[0].data.shape == (1, 1, 48, 12)


def test_the_table_of_a_tied_model_is_in_memory_once():
    config = tiny_config("gemma3_text")
    params = tiny_params(config, seed=0)
    decoder = Decoder(params.__getitem__, build_model(config), mesh=make_mesh(ONE_DEVICE), dtype="float32")
    assert decoder._head["output/embedding"] is decoder._embed["tokens/embedding"]


def test_blocks_are_grouped_evenly():
    assert [group_size(n) for n in (1, 2, 7, 8, 16, 26, 30, 31, 32, 80)] == [1, 2, 7, 8, 8, 2, 6, 1, 8, 8]


def test_sizes_are_few_and_not_much_larger():
    lengths = [round_up_length(n) for n in range(1, 4097)]
    assert all(0 <= rounded - n < max(16, n / 4) for n, rounded in enumerate(lengths, 1))
    assert lengths == sorted(lengths)
    assert len(set(lengths)) == 8 + 4 * 5
    assert [round_up_batch(n, 12) for n in (1, 2, 3, 5, 8, 9, 12)] == [1, 2, 4, 8, 8, 12, 12]


@pytest.mark.parametrize(
    ("prompts", "max_new_tokens", "message"),
    [
        ([[5], []], 3, "prompt 2 has no tokens"),
        ([[5], [6, VOCAB_SIZE]], 3, rf"prompt 2: token id {VOCAB_SIZE} \(position 1\) is outside .* {VOCAB_SIZE} ids"),
        ([[-1]], 3, "prompt 1: token id -1"),
        ([[2**40]], 3, f"prompt 1: token id {2**40}"),
        ([[5]], 0, "0 new tokens were asked for"),
    ],
)
def test_refuses_what_cannot_be_continued(prompts, max_new_tokens, message):
    with pytest.raises(RequestError, match=message):
        generator_of("llama").generate(prompts, max_new_tokens=max_new_tokens)


def test_logits_that_are_no_numbers_are_told():
    pair = pair_of("llama")
    head = {path: value * np.float32("nan") for path, value in pair.params["head"].items()}
    params = {**pair.params, "head": head}
    generator = Generator(params.__getitem__, pair.model, mesh=make_mesh(ONE_DEVICE), dtype="float32")
    with pytest.raises(RequestError, match="logits after prompt 1 hold NaN"):
        generator.generate(prompts_of(7), max_new_tokens=NEW_TOKENS)
