"""Asks how far this project's logits are from transformers', in float32.

Tiny models of every family with unusual constants, and the real sample models: each is written as a Hugging Face
folder, opened by both, and run on the same tokens; the real ones also continue a prompt greedily.

    python benchmarks/parity_with_transformers.py
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

# Both sides compute where PyTorch does; and nobody looks for a TPU whose compiler happens to be installed.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax.numpy as jnp
import numpy as np
import torch
import transformers

from jaxprune.checkpoints import open_checkpoint
from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.jobs.convert import convert
from jaxprune.models import FAMILIES
from jaxprune.models.causal_lm import EMBED, HEAD, block_section

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.tiny import write_tiny_checkpoint

REAL = ("sample:smollm2-135m", "sample:gemma3-270m")
PROMPTS = (
    "The capital of France is",
    "Die Hauptstadt von Deutschland ist",
    "Mji mkuu wa Kenya ni",
    "日本の首都は",
)
NEW_TOKENS = 16


class Model:
    """All sections of a checkpoint in memory; small models only."""

    def __init__(self, checkpoint: Checkpoint):
        """Reads every section once."""
        self._model = checkpoint.model
        self._params = {
            section: {path: jnp.asarray(value) for path, value in checkpoint.read(section).items()}
            for section in checkpoint.model.sections
        }

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """Returns float32 logits ``[B, T, V]``."""
        x = self._model.embed(self._params[EMBED], jnp.asarray(tokens, jnp.int32), jnp.float32)
        for index in range(self._model.num_blocks):
            x, _ = self._model.block(self._params[block_section(index)], self._model.constants(index), x)
        return np.asarray(self._model.unembed(self._params[HEAD], x))


def compare(folder: Path, batches: list[np.ndarray], *, greedy: bool) -> dict[str, object]:
    """Returns the largest error relative to the largest logit, agreement of the best token, and equal continuations."""
    ours = Model(open_checkpoint(str(folder)))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    worst, same, positions, equal = 0.0, 0, 0, 0
    for tokens in batches:
        with torch.no_grad():
            wanted = theirs(torch.tensor(tokens)).logits.numpy()
        found = ours.logits(tokens)
        worst = max(worst, float(np.abs(found - wanted).max() / np.abs(wanted).max()))
        same += int((found.argmax(-1) == wanted.argmax(-1)).sum())
        positions += tokens.size
        if greedy:
            continued = tokens
            for _ in range(NEW_TOKENS):
                best = ours.logits(continued)[:, -1].argmax(-1)
                continued = np.concatenate([continued, best[:, None]], axis=1)
            reference = theirs.generate(
                torch.tensor(tokens), max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False
            )
            equal += int((continued == reference.numpy()).all())
    return {
        "error": worst,
        "same best token": f"{same}/{positions}",
        "same greedy continuation": f"{equal}/{len(batches)}" if greedy else "-",
    }


def main() -> None:
    """Compares and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    args = parser.parse_args()
    results: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for model_type in sorted(FAMILIES):
            folder = Path(scratch) / model_type
            write_tiny_checkpoint(folder, model_type, seed=0)
            vocab_size = open_checkpoint(str(folder)).model.config.vocab_size
            rng = np.random.default_rng(0)
            batches = [rng.integers(0, vocab_size, (2, length)) for length in (1, 9, 40)]
            results[f"tiny {model_type}"] = compare(folder, batches, greedy=False)
        for reference in REAL:
            checkpoint = open_checkpoint(reference)
            folder = Path(scratch) / reference.partition(":")[2]
            convert(checkpoint, folder, format="huggingface")
            tokenizer = checkpoint.tokenizer()
            batches = [np.asarray([tokenizer(prompt)["input_ids"]]) for prompt in PROMPTS]
            results[reference] = compare(folder, batches, greedy=True)
    for name, found in results.items():
        print(f"{name:22}", ", ".join(f"{key} {value}" for key, value in found.items()), flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
