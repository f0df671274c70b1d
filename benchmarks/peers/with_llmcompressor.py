"""llmcompressor's Wanda and SparseGPT modifiers, through its ``oneshot``."""

from typing import Any

import torch
from contender import Clock, Request, contend
from llmcompressor import oneshot
from llmcompressor.modifiers.pruning import SparseGPTModifier, WandaPruningModifier
from torch.utils.data import DataLoader

MODIFIERS = {"wanda": WandaPruningModifier, "sparsegpt": SparseGPTModifier}


def prune(model: Any, tokens_NT: torch.Tensor, request: Request, clock: Clock) -> None:
    """Prunes every linear but the output layer in place, with its defaults, which are the published ones."""
    # Its structure counts the pruned, as the published code does.
    structure = f"{request.pruned}:{request.group}"
    modifier = MODIFIERS[request.method](
        sparsity=request.sparsity, mask_structure=structure, targets=["Linear"], ignore=["re:.*lm_head"]
    )
    batches = DataLoader(
        [{"input_ids": row, "attention_mask": torch.ones_like(row)} for row in tokens_NT], batch_size=request.batch
    )
    with clock.phase("oneshot"):
        # It takes blocks to a GPU by itself; what lies between them stays there, which is the fastest where it fits.
        oneshot(
            model=model,
            dataset=batches,
            recipe=modifier,
            pipeline="sequential",
            sequential_offload_device=request.device,
        )


if __name__ == "__main__":
    contend(prune, "llmcompressor", "compressed-tensors")
