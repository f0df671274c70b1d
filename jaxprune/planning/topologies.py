"""The devices that a plan is made for: described, not present.

Sources: the capacities are what the TPU compiler has for a program (of 16, 95 and 32 GB); the rates are those of
Google's pages on v5e, v5p and v6e.
"""

import dataclasses
import importlib.util
import math
import os
import re
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from jaxprune.errors import RequestError

_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """What a device can do at best.

    Attributes:
      memory_bytes: what programs may use of it.
      flops: of products of bfloat16 numbers, a second.
      memory_rate: bytes a second between memory and the cores.
      link_rate: bytes a second that a device sends to others, all its links together.
      passes: bfloat16 products that make up one of float32 numbers at full precision.
    """

    memory_bytes: int
    flops: float
    memory_rate: float
    link_rate: float
    passes: int = 6


CHIPS = {
    "v5e": Chip(int(15.75 * _GIB), 197e12, 819e9, 200e9),
    "v5p": Chip(int(95.74 * _GIB), 459e12, 2765e9, 600e9),
    "v6e": Chip(int(31.25 * _GIB), 918e12, 1638e9, 400e9),
}


# Shapes that Cloud TPU's pages on each version list ("TPU v5e", "TPU v6e", "TPU v5p": supported configurations). Two
# dimensions, and these alone; v5p has three, and from one cube of 4x4x4 on any whole cubes up to 6144 chips (16x16x24).
_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_SHAPES = {"v5e": _FLAT, "v6e": _FLAT, "v5p": ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4")}
_MOST_CHIPS_OF_CUBES = {"v5p": 6144}


@dataclasses.dataclass(frozen=True)
class Topology:
    """Devices that programs can be compiled for.

    Attributes:
      name: as it was asked for.
      devices: JAX's; those of a TPU cannot run anything.
      chip: what each can do; None where nobody knows.
      memory_bytes: of each device; None if it was not said.
    """

    name: str
    devices: list[Any]
    chip: Chip | None
    memory_bytes: int | None

    @property
    def platform(self) -> str:
        """JAX's name of the kind of devices."""
        return self.devices[0].platform


def find_topology(name: str, memory_bytes: int | None) -> Topology:
    """Returns the devices that ``v5e:2x4``, ``cpu:8`` or ``gpu:1`` names.

    To be called before JAX has looked for devices: those of ``cpu:8`` are made here.

    Args:
      memory_bytes: of each device; None: what a TPU or GPU is known to have.

    Raises:
      RequestError: the name means nothing, the compiler is not installed, or there are no such devices.
    """
    kind, _, shape = name.partition(":")
    if kind in CHIPS and re.fullmatch(r"\d{1,3}(x\d{1,3}){1,2}", shape):
        return _tpu(name, kind, shape, memory_bytes)
    if kind in ("cpu", "gpu") and re.fullmatch(r"[1-9]\d{0,3}", shape):
        return (_cpu if kind == "cpu" else _gpu)(name, int(shape), memory_bytes)
    raise RequestError(
        f"--topology {name!r} names no devices; write a TPU and its shape ({', '.join(CHIPS)}: v5e:2x4, v5p:2x2x2, "
        "v6e:16x16), cpu:N, or gpu:N for GPUs that are here."
    )


def _check_shape(name: str, kind: str, shape: str) -> None:
    sizes = [int(size) for size in shape.split("x")]
    most = _MOST_CHIPS_OF_CUBES.get(kind, 0)
    are_cubes = len(sizes) == 3 and sizes == sorted(sizes) and all(size and size % 4 == 0 for size in sizes)
    if shape in _SHAPES[kind] or (are_cubes and math.prod(sizes) <= most):
        return
    larger = f", or larger ones AxBxC in multiples of 4, A <= B <= C, up to {most} chips" if most else ""
    raise RequestError(
        f"--topology {name}: {kind} does not come in the shape {shape}; ask for {', '.join(_SHAPES[kind])}{larger}."
    )


def _tpu(name: str, kind: str, shape: str, memory_bytes: int | None) -> Topology:
    from jax.experimental import topologies

    _check_shape(name, kind, shape)
    if importlib.util.find_spec("libtpu") is None:
        raise RequestError(
            f"--topology {name} needs the compiler for TPUs, which is not installed; pip install 'jaxprune[plan]' (no "
            "TPU is needed)."
        )
    # The compiler would look for a TPU, and log at length that there is none. None of these overrides what is set.
    for variable, value in {
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_ACCELERATOR_TYPE": "v5litepod-8",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_WORKER_ID": "0",
        "TPU_LOG_DIR": "disabled",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }.items():
        os.environ.setdefault(variable, value)
    jax.config.update("jax_platforms", "cpu")
    found = topologies.get_topology_desc(
        name, "tpu", **({"chips_per_host_bounds": (1, 1, 1)} if shape == "1x1" else {})
    ).devices
    chip = CHIPS[kind]
    return Topology(name, list(found), chip, memory_bytes or chip.memory_bytes)


def _cpu(name: str, number: int, memory_bytes: int | None) -> Topology:
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", number)
    return Topology(name, jax.devices("cpu"), None, memory_bytes)


def _gpu(name: str, number: int, memory_bytes: int | None) -> Topology:
    try:
        devices = jax.devices("gpu")
    except RuntimeError:
        devices = []
    if len(devices) < number:
        raise RequestError(
            f"--topology {name}: {len(devices)} GPUs are here, and a plan for GPUs is made on them; ask for as many, "
            f"or for cpu:{number} with the --device-memory of the GPUs, whose peaks are a first guess."
        )
    limits = [(device.memory_stats() or {}).get("bytes_limit") for device in devices[:number]]
    known = min((limit for limit in limits if limit), default=None)
    return Topology(name, devices[:number], None, memory_bytes or known)


def compile_anew(lowered: Any) -> Any:
    """Compiles a lowered program, whatever JAX_COMPILATION_CACHE_DIR holds; returns JAX's ``Compiled``.

    What absent devices run cannot be read back from that cache. JAX looks at the setting once, hence the resets.
    """
    is_kept = getattr(jax.config, "jax_enable_compilation_cache")  # noqa: B009 - not among the fields of its type
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    try:
        return lowered.compile()
    finally:
        jax.config.update("jax_enable_compilation_cache", is_kept)
        compilation_cache.reset_cache()
