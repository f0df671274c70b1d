"""Says what a prune would take on devices that need not be here, and whether it fits them."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxprune.checkpoints import open_checkpoint
from jaxprune.checkpoints.companions import CONFIG_FILE
from jaxprune.checkpoints.json_file import read_object
from jaxprune.checkpoints.orbax_folder import SUBFOLDER
from jaxprune.errors import RequestError
from jaxprune.mesh_states import most_on_device
from jaxprune.microbatches import batch_rows, most_tokens
from jaxprune.models.causal_lm import CausalLM, block_section
from jaxprune.planning.hosts import host_needs
from jaxprune.planning.known_models import KNOWN
from jaxprune.planning.phases import Phase, Report, Work, plan_phases
from jaxprune.planning.source import Source, num_bytes, source_of_config
from jaxprune.planning.topologies import Topology
from jaxprune.pruning.method import PruningMethod
from jaxprune.pruning.patterns import Pattern
from jaxprune.sharding import default_mesh, lay_out


def find_source(reference: str) -> Source:
    """Returns the model that a name in ``KNOWN``, a ``config.json`` or its folder, or a checkpoint describes.

    Raises:
      RequestError: it names nothing that can be read.
    """
    if reference in KNOWN:
        return source_of_config(KNOWN[reference], reference)
    path = Path(reference).expanduser()
    config = path / CONFIG_FILE if path.is_dir() else path
    # Where there are weights, they say better than the config in what dtype they are.
    has_weights = path.is_dir() and ((path / SUBFOLDER).is_dir() or any(path.glob("*.safetensors")))
    if config.suffix == ".json" and config.is_file() and not has_weights:
        return source_of_config(read_object(config), str(config))
    try:
        checkpoint = open_checkpoint(reference)
    except RequestError as error:
        raise RequestError(
            f"{error} A plan also knows {', '.join(KNOWN)}, and needs no more than a config.json."
        ) from None
    return Source(checkpoint.model, checkpoint.dtypes)


def lay_out_work(
    source: Source,
    topology: Topology,
    *,
    method: PruningMethod,
    pattern: Pattern,
    sequences: Mapping[str, int],
    length: int,
    sizes: Mapping[str, int] | None,
    dtype: np.dtype | None,
    compute_dtype: np.dtype,
    device_bytes: int | None = None,
) -> Work:
    """Returns what is to be pruned, on a mesh of ``topology``'s devices; nothing is compiled.

    Args:
      sequences: of each calibration language.
      sizes: of the mesh; None: as ``prune`` would choose.
      dtype: in which the weights are kept; None: as they are stored.
      device_bytes: hidden states that may stay in each device's memory; None: as ``prune`` would choose.

    Raises:
      RequestError: the mesh needs more devices than there are.
    """
    num_groups = 1
    if method.statistic is None:
        sequences = {"": 1}
        sizes = sizes or default_mesh(len(topology.devices), None)
    else:
        num_groups = max(method.languages.group_of(tuple(sequences))) + 1
        sizes = sizes or default_mesh(len(topology.devices), sum(sequences.values()))
    needed = sizes["data"] * sizes["model"]
    if needed > len(topology.devices):
        raise RequestError(
            f"the mesh data={sizes['data']},model={sizes['model']} needs {needed} devices, and {topology.name} has "
            f"{len(topology.devices)}; ask for a smaller mesh."
        )
    mesh = lay_out(topology.devices[:needed], sizes)
    rows = batch_rows(list(sequences.values()), length, mesh=mesh)
    passes = sum(-(-number // rows) for number in sequences.values())
    if device_bytes is None:
        device_bytes = most_on_device(topology.platform, topology.memory_bytes)
    return Work(source, dtype, method, pattern, mesh, num_groups, passes, rows, length, compute_dtype, device_bytes)


def plan(work: Work, topology: Topology, *, report: Report = lambda step: None) -> dict[str, Any]:
    """Compiles every step for the devices of ``topology`` and returns what the whole prune takes.

    Args:
      work: on devices of ``topology``.
      report: told what is compiled next.

    Returns:
      ``fits``; ``dtype`` of a block's weights and ``compute_dtype`` of the forward passes; ``device`` with
      ``memory_bytes`` and ``peak_bytes`` of one device, and ``states_bytes``, the hidden states that stay on it;
      ``phases``, each with its peak, products (``flops``, and ``wide_flops`` of float32 numbers), ``bytes``,
      ``link_bytes`` and ``seconds`` of the whole prune on one device;
      ``seconds``, what the chips need at least, null where their rates are not known; ``host_bytes`` of the host that
      needs most memory; ``disk_bytes``: ``read`` by all hosts, ``read_by_one_host``, the one that reads most, and
      ``written``; ``advice``, what to change if it does not fit; ``notes``, what else to know.
    """
    model, sizes = work.model, dict(work.mesh.shape)
    phases = plan_phases(work, topology.chip, report)
    peak = max(phase.peak_bytes for phase in phases.values())
    overflows = any(phase.overflow for phase in phases.values())
    fits = None if topology.memory_bytes is None else not overflows and peak <= topology.memory_bytes
    bounds = [phase.lower_bound for phase in phases.values() if phase.lower_bound is not None]
    complete = bool(bounds) and not overflows
    hosts = host_needs(work)
    weights = sum(num_bytes(model.owned_tensors(section), work.kept.dtypes(section)) for section in model.sections)
    return {
        "fits": fits,
        "topology": topology.name,
        "mesh": sizes,
        "dtype": "/".join(sorted({kept.name for kept in work.kept.dtypes(block_section(0)).values()})),
        "compute_dtype": np.dtype(work.compute_dtype).name,
        "microbatch": {"sequences": work.num_rows, "length": work.length, "number": work.num_passes},
        "device": {
            "memory_bytes": topology.memory_bytes,
            "peak_bytes": peak,
            "states_bytes": work.states_on_device,
        },
        "phases": {name: _plain(phase) for name, phase in phases.items()},
        "seconds": sum(bounds) if complete else None,
        "host_bytes": hosts.memory_bytes,
        "disk_bytes": {
            "read": hosts.total_read_bytes,
            "read_by_one_host": hosts.read_bytes,
            "written": weights + _mask_bytes(model),
        },
        "versions": {"jax": jax.__version__},
        "advice": _advice(phases, sizes, topology, work) if fits is False else [],
        "notes": _notes(topology),
    }


def _plain(phase: Phase) -> dict[str, Any]:
    return {
        "peak_bytes": phase.peak_bytes,
        **dataclasses.asdict(phase.costs),
        "seconds": phase.lower_bound if phase.overflow is None else None,
        "bound_by": phase.bound_by if phase.overflow is None else None,
        "programs": phase.programs,
        "overflow": phase.overflow,
    }


def _notes(topology: Topology) -> list[str]:
    if topology.platform != "cpu":
        return []
    return [
        f"processors take up to {most_tokens('cpu')} tokens at a time (or one sequence), in float32 by default; "
        f"GPUs take up to {most_tokens('gpu')}, in bfloat16, and have other peaks"
    ]


def _mask_bytes(model: CausalLM) -> int:
    tensors = model.tensors("blocks/0")
    kernels = [tensors[f"{linear}/kernel"].shape for linear in model.family.reads]
    return model.num_blocks * sum(shape[0] * -(-shape[1] // 8) for shape in kernels)


def _advice(phases: Mapping[str, Phase], sizes: Mapping[str, int], topology: Topology, work: Work) -> list[str]:
    """Returns what would make it smaller, what helps most first."""
    worst = max(phases, key=lambda name: (phases[name].overflow is not None, phases[name].peak_bytes))
    advice = []
    if work.states_on_device:
        size = work.states_on_device / 2**30
        advice.append(f"{size:.2f} GiB of each device are hidden states: leave them to the host (--device-states 0)")
    if sizes["data"] > 1:
        smaller = {"data": sizes["data"] // 2, "model": sizes["model"] * 2}
        advice.append(
            f"{worst} is what does not fit: split weights over more devices, for example --mesh "
            f"data={smaller['data']},model={smaller['model']}"
        )
    if worst == "prepare" or (worst in ("collect", "solve") and work.method.name == "sparsegpt"):
        widest = max(tensor.shape[1] for tensor in work.model.tensors("blocks/0").values() if tensor.is_kernel)
        advice.append(
            f"{worst} holds matrices of {widest} x {widest} numbers: use chips with more memory, or --method wanda, "
            "which needs none"
        )
    if worst in ("collect", "propagate") and work.length > 2048:
        advice.append(f"shorter sequences (--length {work.length // 2}) with as many more --samples")
    return advice or [f"{worst} is what does not fit: use chips with more memory than {topology.name} has"]
