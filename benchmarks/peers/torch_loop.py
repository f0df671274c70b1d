"""The published loop in plain PyTorch: block by block, hooks collect, each linear is pruned, the block runs again.

Wanda (Sun et al., 2023, https://arxiv.org/abs/2306.11695) and SparseGPT (Frantar and Alistarh, 2023,
https://arxiv.org/abs/2301.00774) as their authors run them: statistics of its own for every linear, a loop over
inputs in Python. For decoders whose blocks are ``model.model.layers`` and take rotary embeddings, as Llama's do.

Weights are PyTorch's, ``[outputs, inputs]``. Shapes: N sequences, T tokens, D hidden size, O outputs, I inputs.
"""

from collections.abc import Callable

import torch
from contender import Clock, Request, contend
from torch import nn

_BLOCK_SIZE = 128
_DAMPING = 0.01


class Norms:
    """Wanda: mean over sequences of each input's sum of squares."""

    def __init__(self, linear: nn.Linear):
        """Starts at nothing."""
        self._sum_I = torch.zeros(linear.in_features, device=linear.weight.device)

    def add(self, x_BTI: torch.Tensor) -> None:
        """Adds sequences."""
        self._sum_I += x_BTI.flatten(0, -2).float().square().sum(0)

    def prune(self, weight_OI: torch.Tensor, request: Request) -> torch.Tensor:
        """Zeroes the lowest scores of each output, or of each group of neighbours."""
        scores_OI = weight_OI.abs() * self._sum_I.sqrt()
        if request.group:
            groups = scores_OI.unflatten(1, (-1, request.group))
            lowest = groups.topk(request.pruned, dim=2, largest=False).indices
            mask_OI = torch.zeros_like(groups, dtype=torch.bool).scatter_(2, lowest, True).flatten(1)
        else:
            num_pruned = int(weight_OI.shape[1] * request.sparsity)
            lowest = scores_OI.sort(dim=1, stable=True).indices[:, :num_pruned]
            mask_OI = torch.zeros_like(scores_OI, dtype=torch.bool).scatter_(1, lowest, True)
        return weight_OI.masked_fill(mask_OI, 0.0)


class Hessian:
    """SparseGPT: the sum over tokens of the inputs' outer product with themselves; no factor of it matters."""

    def __init__(self, linear: nn.Linear):
        """Starts at nothing."""
        self._sum_II = torch.zeros(linear.in_features, linear.in_features, device=linear.weight.device)

    def add(self, x_BTI: torch.Tensor) -> None:
        """Adds sequences."""
        x_NI = x_BTI.flatten(0, -2).float()
        self._sum_II.addmm_(x_NI.T, x_NI)

    def prune(self, weight_OI: torch.Tensor, request: Request) -> torch.Tensor:
        """Goes through the inputs, and lets the later ones make up for what each loses."""
        weight_OI = weight_OI.clone()
        hessian_II = self._sum_II
        diagonal_I = hessian_II.diagonal()
        dead_I = diagonal_I == 0
        diagonal_I[dead_I] = 1.0
        weight_OI[:, dead_I] = 0.0
        diagonal_I += _DAMPING * diagonal_I.mean()
        inverse_II = torch.cholesky_inverse(torch.linalg.cholesky(hessian_II))
        upper_II = torch.linalg.cholesky(inverse_II, upper=True)
        for start in range(0, weight_OI.shape[1], _BLOCK_SIZE):
            block = slice(start, min(start + _BLOCK_SIZE, weight_OI.shape[1]))
            errors_OK = _prune_block(weight_OI[:, block], upper_II[block, block], request)
            weight_OI[:, block.stop :].addmm_(errors_OK, upper_II[block, block.stop :], alpha=-1.0)
        return weight_OI


def _prune_block(weight_OK: torch.Tensor, upper_KK: torch.Tensor, request: Request) -> torch.Tensor:
    """Prunes a block of inputs in place and returns the errors that later blocks make up for."""
    pivot_K = upper_KK.diagonal()
    errors_OK = torch.zeros_like(weight_OK)
    pruned_OK = torch.zeros_like(weight_OK, dtype=torch.bool)
    if not request.group:
        scores_OK = (weight_OK / pivot_K).square()
        threshold = scores_OK.flatten().sort().values[int(scores_OK.numel() * request.sparsity)]
        pruned_OK = scores_OK <= threshold
    for i in range(weight_OK.shape[1]):
        if request.group and i % request.group == 0:
            group = slice(i, i + request.group)
            scores_OM = (weight_OK[:, group] / pivot_K[group]).square()
            pruned_OK[:, group].scatter_(1, scores_OM.topk(request.pruned, dim=1, largest=False).indices, True)
        errors_OK[:, i] = weight_OK[:, i] * pruned_OK[:, i] / pivot_K[i]
        weight_OK[:, i:].addr_(errors_OK[:, i], upper_KK[i, i:], alpha=-1.0)
    weight_OK.masked_fill_(pruned_OK, 0.0)
    return errors_OK


STATISTICS: dict[str, Callable[[nn.Linear], Norms | Hessian]] = {"wanda": Norms, "sparsegpt": Hessian}


@torch.no_grad()
def prune(model: nn.Module, tokens_NT: torch.Tensor, request: Request, clock: Clock) -> None:
    """Prunes every linear of every block in place."""
    decoder = model.to(request.device).model
    tokens_NT = tokens_NT.to(request.device)
    with clock.phase("embed"):
        hidden = [decoder.embed_tokens(batch_BT) for batch_BT in tokens_NT.split(request.batch)]
        positions_1T = torch.arange(tokens_NT.shape[1], device=request.device)[None]
        rotations = decoder.rotary_emb(hidden[0], positions_1T)

    def run(block: nn.Module, x_BTD: torch.Tensor) -> torch.Tensor:
        # Without a mask transformers' attention is causal.
        y = block(x_BTD, position_embeddings=rotations, position_ids=positions_1T, attention_mask=None)
        return y[0] if isinstance(y, tuple) else y

    for block in decoder.layers:
        linears = [module for module in block.modules() if isinstance(module, nn.Linear)]
        statistics = [STATISTICS[request.method](linear) for linear in linears]
        hooks = [
            linear.register_forward_hook(lambda _module, inputs, _output, statistic=statistic: statistic.add(inputs[0]))
            for linear, statistic in zip(linears, statistics, strict=True)
        ]
        with clock.phase("collect"):
            for x_BTD in hidden:
                run(block, x_BTD)
        for hook in hooks:
            hook.remove()
        with clock.phase("solve"):
            for linear, statistic in zip(linears, statistics, strict=True):
                linear.weight.copy_(statistic.prune(linear.weight.float(), request))
            del statistics
        if block is not decoder.layers[-1]:
            with clock.phase("propagate"):
                for i, x_BTD in enumerate(hidden):
                    hidden[i] = run(block, x_BTD)


if __name__ == "__main__":
    contend(prune)
