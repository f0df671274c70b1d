"""What the hosts of a mesh hold in memory and read from disk: of every array the parts that their devices are to have.

Weights are split over ``model`` alone: hosts along ``data`` all read whole sections. Hidden states are split over
``data`` alone: hosts along ``model`` all keep the same ones.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jax.sharding import NamedSharding

from jaxprune.models.causal_lm import EMBED, HEAD, Tensor, block_section
from jaxprune.planning.phases import Work
from jaxprune.sharding import batch_sharding, param_sharding

# Sections of weights that a host holds at a time, as they are read and as they are written.
_SECTIONS_ON_HOST = 3


class HostNeeds(NamedTuple):
    """What hosts need.

    Attributes:
      memory_bytes: of the host that needs most: hidden states, and the weights that are on their way.
      read_bytes: from disk, of the host that reads most.
      total_read_bytes: from disk, of all hosts together.
    """

    memory_bytes: int
    read_bytes: int
    total_read_bytes: int


def host_needs(work: Work) -> HostNeeds:
    """Returns what the hosts of a mesh need.

    The first one reads whole what it writes as it was read: what stands outside of the blocks.
    """
    block = _by_host(work, work.model.tensors(block_section(0)))
    outer = [work.model.owned_tensors(section) for section in (EMBED, HEAD)]
    embed: Counter[int] = Counter()
    states: Counter[int] = Counter()
    if work.method.statistic is not None:
        embed = _by_host(work, outer[0])
        shape = (work.num_rows, work.length, work.model.config.hidden_size)
        states = bytes_by_host(batch_sharding(work.mesh), shape, np.dtype(work.compute_dtype))
    whole = [_whole(work, tensors) for tensors in outer]
    first = min(block)
    memory, read = {}, {}
    for host in block:
        share = max(block[host], embed[host])
        largest = max(share, *whole) if host == first else share
        memory[host] = work.num_passes * states[host] + largest + (_SECTIONS_ON_HOST - 1) * share
        read[host] = work.model.num_blocks * block[host] + (sum(whole) if host == first else embed[host])
    return HostNeeds(max(memory.values()), max(read.values()), sum(read.values()))


def bytes_by_host(sharding: NamedSharding, shape: tuple[int, ...], dtype: np.dtype) -> Counter[int]:
    """Returns for each host (``process_index``) the bytes of an array that its devices hold, each part once."""
    parts = defaultdict(set)
    for device, index in sharding.devices_indices_map(shape).items():
        parts[device.process_index].add(tuple((along.start, along.stop) for along in index))
    size = int(np.prod(sharding.shard_shape(shape))) * dtype.itemsize
    return Counter({host: len(distinct) * size for host, distinct in parts.items()})


def _by_host(work: Work, tensors: Mapping[str, Tensor]) -> Counter[int]:
    total: Counter[int] = Counter()
    for path, tensor in tensors.items():
        shape = tensor.shape[::-1] if tensor.is_kernel else tensor.shape
        total += bytes_by_host(param_sharding(work.mesh, path, shape), shape, np.dtype(work.dtype))
    return total


def _whole(work: Work, tensors: Mapping[str, Tensor]) -> int:
    return sum(int(np.prod(tensor.shape)) * np.dtype(work.dtype).itemsize for tensor in tensors.values())
