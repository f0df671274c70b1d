"""Asks how far the output of a pruned model's last block is from the dense one's, on the same tokens.

For models of random weights, of which every perplexity is that of chance: a wrong pruning shows here.

    python benchmarks/output_errors.py DENSE TOKENS.npy PRUNED [PRUNED ...]

prints one line of JSON: by folder, the norm of the difference over that of the dense model's.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32

from jaxprune.checkpoints import open_checkpoint
from jaxprune.microbatches import make_microbatches
from jaxprune.resources import parse_compute_dtype
from jaxprune.sharding import make_mesh
from jaxprune.sweep import Sweep


def last_states(model: str, tokens_NT: Int32[np.ndarray, "N T"]) -> Float32[np.ndarray, "M B T D"]:
    """Returns what leaves the last block."""
    checkpoint = open_checkpoint(model)
    mesh = make_mesh(None, len(tokens_NT))
    batches = make_microbatches(tokens_NT, ["tokens"] * len(tokens_NT), mesh=mesh, batch_size=1)
    sweep = Sweep(checkpoint.model, batches, mesh=mesh, dtype=parse_compute_dtype(None))
    sweep.run_all(checkpoint.parameters, lambda tokens: None)
    return np.stack([np.asarray(x_BTD, np.float32) for _, x_BTD in sweep.states()])


def main() -> None:
    """Compares and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dense")
    parser.add_argument("tokens", type=Path, help="file of token ids")
    parser.add_argument("pruned", nargs="+")
    args = parser.parse_args()
    tokens_NT = np.load(args.tokens)
    dense = last_states(args.dense, tokens_NT)
    errors = {
        model: float(np.linalg.norm(last_states(model, tokens_NT) - dense) / np.linalg.norm(dense))
        for model in args.pruned
    }
    print(json.dumps(errors))


if __name__ == "__main__":
    main()
