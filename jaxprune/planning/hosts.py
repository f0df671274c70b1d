"""What the hosts of a mesh hold in memory and read from disk: of every array the parts that their devices are to have.

Weights are split over ``model`` alone: hosts along ``data`` all read whole sections. Hidden states are split over
``data`` alone: hosts along ``model`` all keep the same ones.
"""

from collections import Counter, defaultdict
from typing import NamedTuple

import numpy as np
from jax.sharding import NamedSharding

from jaxprune.models.causal_lm import EMBED, HEAD, block_section
from jaxprune.planning.phases import Work
from jaxprune.planning.source import Source, num_bytes
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
    kept, stored = _parts(work, work.kept), _parts(work, work.source)
    states: Counter[int] = Counter()
    if work.method.statistic is not None and not work.states_on_device:
        shape = (work.num_rows, work.length, work.model.config.hidden_size)
        states = bytes_by_host(batch_sharding(work.mesh), shape, np.dtype(work.compute_dtype))
    first = min(kept.block)
    memory, read = {}, {}
    for host in kept.block:
        share = max(kept.block[host], kept.embed[host])
        largest = max(share, *kept.outer) if host == first else share
        memory[host] = work.num_passes * states[host] + largest + (_SECTIONS_ON_HOST - 1) * share
        outside = sum(stored.outer) if host == first else stored.embed[host]
        read[host] = work.model.num_blocks * stored.block[host] + outside
    return HostNeeds(max(memory.values()), max(read.values()), sum(read.values()))


def bytes_by_host(sharding: NamedSharding, shape: tuple[int, ...], dtype: np.dtype) -> Counter[int]:
    """Returns for each host (``process_index``) the bytes of an array that its devices hold, each part once."""
    parts = defaultdict(set)
    for device, index in sharding.devices_indices_map(shape).items():
        parts[device.process_index].add(tuple((along.start, along.stop) for along in index))
    size = int(np.prod(sharding.shard_shape(shape))) * dtype.itemsize
    return Counter({host: len(distinct) * size for host, distinct in parts.items()})


class _Parts(NamedTuple):
    """Bytes of weights.

    Attributes:
      block: of one, what each host's devices hold.
      embed: likewise of the embedding; nothing if no text is read.
      outer: of the embedding and of the head, whole.
    """

    block: Counter[int]
    embed: Counter[int]
    outer: list[int]


def _parts(work: Work, source: Source) -> _Parts:
    def by_host(section: str) -> Counter[int]:
        total: Counter[int] = Counter()
        dtypes = source.dtypes(section)
        for path, tensor in source.model.tensors(section).items():
            shape = tensor.shape[::-1] if tensor.is_kernel else tensor.shape
            total += bytes_by_host(param_sharding(work.mesh, path, shape), shape, dtypes[path])
        return total

    return _Parts(
        by_host(block_section(0)),
        by_host(EMBED) if work.method.statistic is not None else Counter(),
        [num_bytes(source.model.owned_tensors(section), source.dtypes(section)) for section in (EMBED, HEAD)],
    )
