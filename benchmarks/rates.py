"""Asks what share of the rate of large matrix products the steps of a prune reach on this device.

One block of a model of random weights, one microbatch as ``prune`` cuts it, computed again and again where it lies.
Products are counted once each: a causal attention's scores by half, a symmetric Gram matrix by half. The rate they are
held against is that of a product of two bfloat16 matrices of 8192 rows and columns, measured first.

    python benchmarks/rates.py

On a CPU add ``--dtype float32`` and smaller sizes, ``--config '{"hidden_size": 576, ...}' --size 2048``: a block of
Llama-3-8B takes minutes there.
"""

import argparse
import functools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxprune.cli import gpu_settings

# As the program does it.
os.environ.update(gpu_settings.with_defaults(os.environ))

import jax
import jax.numpy as jnp
import numpy as np
from machine import describe

from jaxprune.jobs.settings import parse_method
from jaxprune.microbatches import make_microbatches
from jaxprune.models import build_model
from jaxprune.models.causal_lm import block_section
from jaxprune.planning.known_models import KNOWN
from jaxprune.pruning.collecting import abstract_statistics, collect
from jaxprune.pruning.patterns import Unstructured
from jaxprune.pruning.solving import prepare, prune
from jaxprune.sharding import make_mesh, place_batch, place_params, replicate
from jaxprune.sweep import advance

_REPEATS, _ROUNDS = 10, 3


def seconds(step: Callable[[], Any]) -> float:
    """Returns the time of one of several calls, queued one after the other, in the quickest of some rounds.

    Two go before them: the first compiles, and so may the second, which is given what the first has made.
    """
    for _ in range(2):
        jax.block_until_ready(step())
    rounds: list[float] = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        for _ in range(_REPEATS):
            result = step()
        jax.block_until_ready(result)
        rounds.append((time.perf_counter() - start) / _REPEATS)
    return min(rounds)


def collect_once(model: Any, mesh: Any, params: Any, constants: Any, sums: list[Any], *batch: jax.Array) -> jax.Array:
    """Adds a microbatch to the one item of ``sums``; returns something to wait for."""
    sums[0], counted_S = collect(model, mesh, params, constants, sums[0], *batch)
    return counted_S


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="llama-3-8b", choices=sorted(KNOWN))
    parser.add_argument("--config", type=json.loads, default={}, help="JSON: fields of its config to change")
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--size", type=int, default=8192, help="of the matrices of the reference")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    args = parser.parse_args()
    dtype = jnp.dtype(args.dtype)
    key = jax.random.key(0)

    def draw(shape: tuple[int, ...], dtype: Any = dtype) -> jax.Array:
        return jax.random.normal(key, shape, dtype) * jnp.asarray(shape[0] ** -0.5, dtype)

    square = draw((args.size, args.size))
    multiply = jax.jit(lambda left, right: jnp.matmul(left, right, precision="highest"))
    best = 2 * args.size**3 / seconds(lambda: multiply(square, square))
    print(f"{jax.devices()[0].device_kind}; {describe()}; jax {jax.__version__}")
    print(f"product of {args.size} x {args.size}, {args.dtype}: {best / 1e12:.2f} TFLOP/s")
    figures: dict[str, Any] = {"device": jax.devices()[0].device_kind, "machine": describe(), "product": best}

    def tell(name: str, step: Callable[[], Any], flops: float | None) -> None:
        taken = seconds(step)
        rate = None if flops is None else flops / taken
        figures[name] = {"seconds": taken, "flops": flops, "share": None if rate is None else rate / best}
        share = "" if rate is None else f"{rate / 1e12:8.2f} TFLOP/s {rate / best:5.0%}"
        print(f"{name:44} {taken * 1e3:9.2f} ms {share}", flush=True)

    model = build_model({**KNOWN[args.model], **args.config, "num_hidden_layers": 1})
    mesh = make_mesh({"data": 1, "model": 1})
    tensors = model.tensors(block_section(0))
    shapes = {path: tensor.shape[::-1] if tensor.is_kernel else tensor.shape for path, tensor in tensors.items()}
    params = place_params(
        mesh, {path: draw(shape) if len(shape) == 2 else jnp.ones(shape, dtype) for path, shape in shapes.items()}
    )
    constants = replicate(mesh, dict(model.constants(0)))
    tokens = np.zeros((128, args.length), np.int32)
    batch = make_microbatches(tokens, ["en"] * len(tokens), mesh=mesh)[0]
    rows = len(batch.tokens_BT)
    count = rows * args.length
    width = model.config.hidden_size
    x_BTD = draw((rows, args.length, width))
    weights = sum(int(np.prod(shape)) for shape in shapes.values() if len(shape) == 2)
    attention = 2 * count * args.length * shapes["q_proj/kernel"][1]
    state = [place_batch(mesh, np.ones(1, bool)), x_BTD]

    def forward() -> Any:
        # What it is given is given up: its own output is its next input.
        state[0], state[1], _ = advance(model, mesh, params, constants, *state)
        return state[1]

    print(f"{args.model}, microbatch of {rows} x {args.length} tokens")
    tell("forward pass of a block", forward, 2 * weights * count + attention)
    without_down = 2 * (weights - int(np.prod(shapes["down_proj/kernel"]))) * count + attention
    widths = {name: shapes[f"{linear}/kernel"][0] for linear, name in model.family.reads.items()}
    for name in ("wanda", "sparsegpt"):
        method = parse_method(name)
        zeros = abstract_statistics(model, method, 1, mesh)
        sums = [jax.tree.map(lambda of: jnp.zeros(of.shape, of.dtype), zeros)]
        group = replicate(mesh, np.int32(0))
        step = functools.partial(
            collect_once,
            model,
            mesh,
            params,
            constants,
            sums,
            draw(x_BTD.shape),
            place_batch(mesh, batch.weights_B),
            group,
        )
        gram = sum(size * (size + 1) for size in widths.values()) * count if name == "sparsegpt" else 0
        tell(f"{name}: forward pass and statistics", step, without_down + gram)
        pattern = Unstructured(0.5, method.default_scope)
        measured = set()
        for linear, activation in model.family.reads.items():
            kernel, statistic = params[f"{linear}/kernel"], sums[0][activation]
            if kernel.shape in measured:
                continue
            if kernel.shape[0] not in {shape[0] for shape in measured}:
                tell(
                    f"{name}: prepare {kernel.shape[0]} inputs",
                    functools.partial(prepare, method, mesh, statistic),
                    None,
                )
            measured.add(kernel.shape)
            prepared, _ = prepare(method, mesh, statistic)
            shape = " x ".join(map(str, kernel.shape))
            tell(f"{name}: prune {shape}", functools.partial(prune, method, pattern, mesh, kernel, prepared), None)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
