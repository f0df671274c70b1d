"""Memory and reading of hosts, of models small enough to be counted by hand."""

import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxprune.planning.hosts import bytes_by_host, host_needs
from jaxprune.planning.topologies import find_topology
from jaxprune.sharding import lay_out
from tests.planning.laid_out import lay
from tests.tiny import tiny_config

# Numbers of a block: q and o 2 x 32 x 32, k and v 2 x 32 x 16, the MLP 3 x 32 x 64, two norms of 32.
KERNELS, NORMS = 2048 + 1024 + 6144, 64
EMBED, HEAD = 512 * 32, 512 * 32 + 32
STATES = 16 * 32 * 32
CONFIG = tiny_config(
    "llama",
    dtype="bfloat16",
    **{"hidden_size": 32, "intermediate_size": 64, "vocab_size": 512, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8},
)


def needs(topology, data, model, method="wanda"):
    """Returns memory, the first host's reading and what all read, in numbers of two bytes each."""
    sizes = {"data": data, "model": model}
    found = host_needs(lay(CONFIG, find_topology(topology, None), method, sequences={"en": 16}, length=32, sizes=sizes))
    return tuple(size / 2 for size in found)


def test_one_host_has_everything():
    read = 2 * (KERNELS + NORMS) + EMBED + HEAD
    assert needs("v5e:2x2", 4, 1) == (STATES + HEAD + 2 * EMBED, read, read)
    assert needs("v5e:2x2", 1, 4) == needs("v5e:2x2", 4, 1)


def test_hosts_along_data_share_sequences_and_all_read_whole_sections():
    first = 2 * (KERNELS + NORMS) + EMBED + HEAD
    other = 2 * (KERNELS + NORMS) + EMBED
    assert needs("v5e:2x4", 8, 1) == (STATES / 2 + HEAD + 2 * EMBED, first, first + other)
    assert needs("v5e:4x4", 16, 1) == (STATES / 4 + HEAD + 2 * EMBED, first, first + 3 * other)


def test_hosts_along_model_share_weights_and_keep_all_sequences():
    """But the first one copies the embedding and the head, which are not pruned, whole."""
    first = 2 * (KERNELS / 2 + NORMS) + EMBED + HEAD
    other = 2 * (KERNELS / 2 + NORMS) + EMBED / 2
    assert needs("v5e:2x4", 1, 8) == (STATES + HEAD + 2 * EMBED / 2, first, first + other)


def test_without_text_only_the_first_host_needs_the_embedding():
    first = 2 * (KERNELS / 2 + NORMS) + EMBED + HEAD
    other = 2 * (KERNELS / 2 + NORMS)
    assert needs("v5e:2x4", 1, 8, "magnitude") == (HEAD + 2 * (KERNELS / 2 + NORMS), first, first + other)


def test_weights_are_read_as_they_are_stored_and_held_as_they_are_kept():
    topology = find_topology("v5e:2x2", None)
    stored = {**CONFIG, "dtype": "float32"}
    settings = {"sequences": {"en": 16}, "length": 32}
    in_one, cast = (host_needs(lay(stored, topology, dtype=dtype, **settings)) for dtype in (None, np.dtype("float16")))
    assert in_one.read_bytes == cast.read_bytes == 4 * (2 * (KERNELS + NORMS) + EMBED + HEAD)
    weights = HEAD + 2 * EMBED
    assert (in_one.memory_bytes, cast.memory_bytes) == (2 * STATES + 4 * weights, 2 * STATES + 2 * weights)


@pytest.mark.parametrize(
    ("spec", "of_a_host"),
    [((), 64 * 8), (("data",), 32 * 8), ((None, "model"), 64 * 8), (("data", "model"), 32 * 8)],
)
def test_parts_that_several_devices_hold_count_once(spec, of_a_host):
    """A mesh of 4 x 2 whose upper half is the first host's: two rows of it, and both columns."""
    devices = find_topology("v5e:2x4", None).devices
    mesh = lay_out(devices, {"data": 4, "model": 2})
    grid = np.asarray(sorted(devices, key=lambda device: (device.process_index, device.id))).reshape(4, 2)
    mesh = type(mesh)(grid, mesh.axis_names, axis_types=mesh.axis_types)
    found = bytes_by_host(NamedSharding(mesh, PartitionSpec(*spec)), (64, 8), np.dtype(np.float32))
    assert found == {0: 4 * of_a_host, 1: 4 * of_a_host}
