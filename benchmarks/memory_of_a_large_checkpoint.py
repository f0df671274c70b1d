"""Asks how much memory it takes to prune a checkpoint that is larger than that memory.

Makes a Llama-shaped checkpoint of random bfloat16 weights (7 GB by default), prunes it with Wanda on 8 x 128 random
tokens, and prints the peak resident memory of the process, its time, and how often each step was compiled.

    python benchmarks/memory_of_a_large_checkpoint.py --scratch /tmp/large
"""

import argparse
import json
import platform
import shutil
from pathlib import Path

import numpy as np
from command import run
from random_checkpoint import write_checkpoint

from jaxprune.models import build_model

# Llama-3.2-3B's widths with a vocabulary of 32,000.
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 32_000,
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 500_000.0,
    "max_position_embeddings": 8192,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}


def num_blocks(gigabytes: float) -> int:
    """Returns how many blocks a checkpoint of about that size has."""
    one = build_model({**CONFIG, "num_hidden_layers": 1})
    sizes = [sum(2 * int(np.prod(t.shape)) for t in one.owned_tensors(s).values()) for s in one.sections]
    return round((gigabytes * 1e9 - sizes[0] - sizes[2]) / sizes[1])


def main() -> None:
    """Makes, prunes, prints, cleans up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=7.0)
    parser.add_argument(
        "--scratch", type=Path, required=True, help="folder for the two checkpoints; removed at the end"
    )
    parser.add_argument("--method", default="wanda")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    args = parser.parse_args()
    source = args.scratch / "dense"
    size = write_checkpoint(source, {**CONFIG, "num_hidden_layers": num_blocks(args.gigabytes)})
    tokens = np.random.default_rng(1).integers(0, CONFIG["vocab_size"], (8, 128), dtype=np.int32)
    np.save(args.scratch / "tokens.npy", tokens)
    texts = f"tokens:{args.scratch / 'tokens.npy'}"
    done = run("prune", str(source), str(args.scratch / "pruned"), "--method", args.method, "--texts", texts)
    figures = {
        "checkpoint_bytes": size,
        "peak_resident_bytes": done.peak_bytes,
        "seconds": round(done.seconds, 1),
        "seconds_by_phase": {name: round(value, 1) for name, value in done.result["seconds"].items()},
        "sparsity": done.result["sparsity"]["overall"],
        "compilations": {
            n: c for n, c in done.compilations.items() if n in ("embed", "collect", "prepare", "prune", "advance")
        },
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "versions": done.result["versions"],
    }
    print(json.dumps(figures, indent=2))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    shutil.rmtree(args.scratch)


if __name__ == "__main__":
    main()
