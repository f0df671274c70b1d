"""The real sample models continue prompts as transformers does with the same weights."""

import numpy as np
import pytest
import torch
import transformers

from jaxprune.checkpoints import open_checkpoint
from jaxprune.evaluation.sampling import GREEDY
from jaxprune.jobs.generate import generate, load, prepare_prompts
from jaxprune.sharding import make_mesh

pytestmark = pytest.mark.real

NEW_TOKENS = 16
PROMPTS = {
    "sample:smollm2-135m": [
        "The capital of Kenya is",
        "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    ],
    "sample:gemma3-270m": [
        "Die Hauptstadt von Deutschland ist",
        "عاصمة مصر هي",
        "日本の首都は",
        # Longer than the window of 512 tokens that most blocks have.
        " ".join(f"{i}: {'Mji mkuu wa Kenya ni Nairobi.' if i % 3 else 'Haus und Baum.'}" for i in range(60)),
    ],
}


def their_model(checkpoint):
    """Transformers' model with the tensors of a checkpoint, which is not in a format that it reads."""
    config = transformers.AutoConfig.for_model(**checkpoint.config)
    tensors = {}
    for section in checkpoint.model.sections:
        params = checkpoint.read(section)
        for path, tensor in checkpoint.model.owned_tensors(section).items():
            stored = params[path].T if tensor.is_kernel else params[path]
            tensors[tensor.name] = torch.tensor(np.asarray(stored, np.float32))
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    return model.eval()


@pytest.mark.parametrize(
    "reference", [pytest.param(name, marks=[pytest.mark.slow] if "gemma" in name else []) for name in PROMPTS]
)
def test_tokens_equal_transformers(reference):
    checkpoint = open_checkpoint(reference)
    prepared = prepare_prompts(checkpoint, PROMPTS[reference], max_new_tokens=NEW_TOKENS)
    assert max(map(len, prepared.tokens)) > checkpoint.config.get("sliding_window", 0)
    generator = load(checkpoint, mesh=make_mesh({"data": 1, "model": 1}), dtype=np.dtype(np.float32))
    result = generate(generator, prepared, max_new_tokens=NEW_TOKENS, sampling=GREEDY)
    model = their_model(checkpoint)
    for prompt_T, output in zip(prepared.tokens, result["outputs"], strict=True):
        tokens = torch.tensor(prompt_T[None]).long()
        with torch.no_grad():
            whole = model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                eos_token_id=sorted(prepared.stop_tokens),
            )
        assert output["tokens"] == whole[0, len(prompt_T) :].tolist(), output["text"]


def test_the_instructed_model_answers_a_chat():
    checkpoint = open_checkpoint("sample:smollm2-135m")
    prepared = prepare_prompts(checkpoint, ["What is the capital of France?"], max_new_tokens=64, is_chat=True)
    generator = load(checkpoint, mesh=make_mesh({"data": 1, "model": 1}), dtype=np.dtype(np.float32))
    (output,) = generate(generator, prepared, max_new_tokens=64, sampling=GREEDY)["outputs"]
    assert "Paris" in output["text"]
    assert output["stopped"]
