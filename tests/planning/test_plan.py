"""Plans of tiny and of published models, on TPUs that are not here and on the processors that are."""

import dataclasses
import importlib.util
import json

import jax
import numpy as np
import pytest

from jaxprune.errors import RequestError
from jaxprune.jobs.plan import find_source, plan
from jaxprune.microbatches import batch_rows
from jaxprune.models import build_model
from jaxprune.planning.known_models import KNOWN
from jaxprune.planning.topologies import Topology, find_topology
from jaxprune.resources import parse_compute_dtype
from jaxprune.sharding import lay_out
from tests.cli.run import run
from tests.models.published import PUBLISHED
from tests.planning.laid_out import lay
from tests.tiny import tiny_config, write_tiny_checkpoint

WIDTHS = {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64}


def make(config, topology, method="wanda", **changes):
    return plan(lay(config, topology, method, **changes), topology)


@pytest.fixture(scope="module")
def four_chips():
    return find_topology("v5e:2x2", None)


@pytest.mark.parametrize(
    ("name", "published", "parameters"),
    [
        ("llama-3-8b", "Llama-3-8B", 8.030e9),
        ("llama-3-70b", "Llama-3-70B", 70.554e9),
        ("aya-23-8b", "Aya-23-8B", 8.028e9),
        ("aya-23-35b", "Aya-23-35B", 34.981e9),
        ("qwen2.5-0.5b", "Qwen2.5-0.5B-Instruct", 0.494e9),
    ],
)
def test_known_models_are_the_published_ones(name, published, parameters):
    model, dtypes = find_source(name)
    assert {dtype.name for dtype in dtypes("blocks/0").values()} == {PUBLISHED[published]["torch_dtype"]}
    assert model.config == build_model(PUBLISHED[published]).config
    sizes = [np.prod(t.shape) for section in model.sections for t in model.owned_tensors(section).values()]
    assert sum(sizes) == pytest.approx(parameters, rel=1e-3)
    assert set(KNOWN) == {"llama-3-8b", "llama-3-70b", "aya-23-8b", "aya-23-35b", "qwen2.5-0.5b"}


def test_a_forward_pass_costs_its_products(four_chips):
    """Every kernel meets every token; 128 tokens are one segment, so that attention meets all pairs."""
    config = tiny_config("llama", **WIDTHS, intermediate_size=512)
    found = make(config, four_chips)
    assert found["mesh"] == {"data": 4, "model": 1}
    tokens = 24 * 128 / 4
    q, kv, mlp = 256 * 256 * 2, 2 * 256 * 128, 3 * 256 * 512
    pairs = 2 * 2 * 128 * 256
    one_block = 2 * tokens * (q + kv + mlp) + tokens * pairs
    assert found["phases"]["propagate"]["flops"] == pytest.approx(one_block, rel=1e-6)
    # Scoring does without the last product, whose output nobody reads.
    two_blocks = 2 * (one_block - 2 * tokens * 256 * 512)
    assert found["phases"]["collect"]["flops"] == pytest.approx(two_blocks, rel=1e-6)
    assert found["phases"]["collect"]["link_bytes"] == 0


def test_a_plan_holds_together(four_chips):
    found = make(tiny_config("llama", **WIDTHS, intermediate_size=512), four_chips, "sparsegpt", pattern="2:4")
    phases = found["phases"]
    assert list(phases) == ["embed", "collect", "prepare", "solve", "propagate"]
    assert found["fits"] is True
    assert found["advice"] == found["notes"] == []
    assert found["device"]["memory_bytes"] == int(15.75 * 2**30)
    assert found["device"]["peak_bytes"] == max(phase["peak_bytes"] for phase in phases.values())
    assert found["seconds"] == pytest.approx(sum(phase["seconds"] for phase in phases.values()))
    for phase in phases.values():
        rates = {
            "products": (phase["flops"] + 6 * phase["wide_flops"]) / 197e12,
            "memory": phase["bytes"] / 819e9,
            "links": phase["link_bytes"] / 200e9,
        }
        assert phase["seconds"] == pytest.approx(rates[phase["bound_by"]]) == pytest.approx(max(rates.values()))
    # Factorisations: about n^3 products each of 256, 256, 256 and 512 inputs, all at full precision, in both blocks.
    assert phases["prepare"]["flops"] == 0
    assert 2 * (3 * 256**3 + 512**3) / 3 < phases["prepare"]["wide_flops"] < 5 * 2 * (3 * 256**3 + 512**3)
    # The Gram matrices of four devices meet once.
    assert phases["prepare"]["link_bytes"] > 2 * (3 * 256**2 + 512**2) * 4
    assert phases["propagate"]["link_bytes"] == 0


def test_weights_that_are_split_take_less_memory_and_talk(four_chips):
    config = tiny_config("llama", **WIDTHS, intermediate_size=2048)
    whole, split = (make(config, four_chips, sizes={"data": 4 // model, "model": model}) for model in (1, 4))
    assert split["phases"]["solve"]["peak_bytes"] < 0.6 * whole["phases"]["solve"]["peak_bytes"]
    assert split["phases"]["collect"]["link_bytes"] > 0


def test_states_that_stay_are_counted_on_the_devices_and_not_on_the_host(four_chips):
    """24 sequences of 128 x 256 numbers of two bytes, over four devices; one microbatch is on its way in any case."""
    config = tiny_config("llama", **WIDTHS, intermediate_size=512)
    size = 24 * 128 * 256 * 2 // 4
    kept, gone = (make(config, four_chips, device_bytes=limit) for limit in (size, size - 1))
    assert [found["device"]["states_bytes"] for found in (kept, gone)] == [size, 0]
    assert gone["host_bytes"] - kept["host_bytes"] == 4 * size
    more = {name: kept["phases"][name]["peak_bytes"] - phase["peak_bytes"] for name, phase in gone["phases"].items()}
    batch = size * gone["microbatch"]["sequences"] // 24
    assert more == {
        "embed": size - 2 * batch,
        "collect": size - 2 * batch,
        "prepare": size,
        "solve": size,
        "propagate": size - 3 * batch,
    }
    full = plan(lay(config, four_chips, device_bytes=size), dataclasses.replace(four_chips, memory_bytes=1))
    assert "--device-states 0" in full["advice"][0]
    assert make(config, four_chips, "magnitude", device_bytes=size)["device"]["states_bytes"] == 0


def test_accelerators_take_more_tokens_at_a_time(four_chips):
    sizes = {"data": 4, "model": 1}
    rows = [batch_rows([96], 512, mesh=lay_out(devices[:4], sizes)) for devices in (four_chips.devices, jax.devices())]
    assert rows == [4 * 8, 4 * 2]


def test_magnitude_needs_no_text(four_chips):
    found = make(tiny_config("cohere"), four_chips, "magnitude")
    assert list(found["phases"]) == ["solve"]
    assert found["mesh"] == {"data": 1, "model": 4}


@pytest.mark.slow
def test_the_compiler_itself_finds_no_room():
    """The Gram matrix of 262144 inputs takes 256 GiB."""
    config = tiny_config("llama", **WIDTHS, intermediate_size=2**18)
    found = make(config, find_topology("v5e:1x1", None), "sparsegpt")
    assert found["fits"] is False
    assert found["seconds"] is None
    assert found["device"]["peak_bytes"] > 256 * 2**30
    overflows = {name for name, phase in found["phases"].items() if phase["overflow"]}
    assert {"collect", "prepare"} <= overflows
    assert any("262144" in line for line in found["advice"])


def test_languages_are_read_in_microbatches_of_their_own(four_chips):
    """Of 4 to 32 rows of 512 tokens: 37 sequences fit 2 of 20, and of three languages 9, 1 and 1 of 4 fill least."""
    config, mixed = tiny_config("llama"), {"de": 33, "en": 3, "sw": 1}
    alone = lay(config, four_chips, sequences={"de": 37}, length=512)
    by_sum, by_mean = (
        lay(config, four_chips, sequences=mixed, length=512, combine=combine) for combine in ("sum", "mean")
    )
    assert [(work.num_rows, work.num_passes) for work in (alone, by_sum, by_mean)] == [(20, 2), (4, 11), (4, 11)]
    assert [work.num_groups for work in (alone, by_sum, by_mean)] == [1, 1, 3]


def test_languages_that_count_alike_have_statistics_of_their_own():
    """A block's linears read 48, 72, 48 and 56 inputs, and its weights and states take less than these norms."""
    languages = [f"language {number}" for number in range(2000)]
    topology = Topology("cpu:1", jax.devices()[:1], None, None)
    found = make(tiny_config("llama"), topology, combine="mean", sequences=dict.fromkeys(languages, 1), length=16)
    norms = 2000 * (48 + 72 + 48 + 56) * 4
    for phase in ("collect", "prepare"):
        assert norms < found["phases"][phase]["peak_bytes"] < 4 * norms
    assert found["phases"]["propagate"]["peak_bytes"] < norms / 2


def test_processors_are_compared_with_the_memory_that_is_given():
    config = tiny_config("gemma3_text")
    of = {memory: Topology("cpu:8", jax.devices(), None, memory) for memory in (None, 10**4, 10**9)}
    found = {memory: make(config, topology) for memory, topology in of.items()}
    assert [found[memory]["fits"] for memory in of] == [None, False, True]
    assert "--mesh" in found[10**4]["advice"][0]
    assert ["1024" in line and "16384" in line for line in found[None]["notes"]] == [True]
    assert found[None]["seconds"] is None
    assert found[None]["phases"]["collect"]["seconds"] is None
    assert found[None]["device"]["peak_bytes"] > 0


def test_more_of_a_mesh_than_there_is_of_devices(four_chips):
    with pytest.raises(RequestError, match=r"needs 8 devices, and v5e:2x2 has 4"):
        lay(tiny_config("llama"), four_chips, sizes={"data": 8, "model": 1})


@pytest.mark.parametrize(
    ("topology", "says"),
    [
        ("v5e", "names no devices"),
        ("v5e-8", "names no devices"),
        ("h100:8", "names no devices"),
        ("cpu:0", "names no devices"),
        ("v5e:3x5", "does not come in the shape 3x5; ask for 1x1, 2x2, 2x4"),
        ("v5e:2x2x2", "v5e does not come in the shape 2x2x2"),
        ("v5e:4x2", "ask for 1x1, 2x2, 2x4"),
        ("v6e:32x32", "v6e does not come in the shape 32x32"),
        ("v5p:4x4", "v5p does not come in the shape 4x4; ask for 2x2x1"),
        ("v5p:1x1x1", "ask for 2x2x1"),
        ("v5p:4x4x6", "multiples of 4"),
        ("v5p:8x4x4", "A <= B <= C"),
        ("v5p:0x4x4", "multiples of 4"),
        ("v5p:16x16x28", "up to 6144 chips"),
        ("gpu:2", "0 GPUs are here"),
    ],
)
def test_devices_that_do_not_exist(topology, says):
    with pytest.raises(RequestError, match=says):
        find_topology(topology, None)


@pytest.mark.parametrize(
    ("topology", "chips"),
    [("v5e:8x16", 128), ("v6e:16x16", 256), ("v5p:2x2x1", 4), ("v5p:2x4x4", 32), ("v5p:4x4x12", 192)],
)
def test_shapes_that_exist(topology, chips):
    assert len(find_topology(topology, None).devices) == chips


def test_the_compiler_is_not_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"jaxprune\[plan\]"):
        find_topology("v5e:2x2", None)


# As the tests have a cache of what is compiled (``conftest``): what a first plan compiled, a second may not look for.
@pytest.mark.filterwarnings("error:Error reading persistent compilation cache entry")
def test_the_command(tmp_path, capsys):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(tiny_config("llama")))
    asked = ["plan", config, "--topology", "v6e:1x1", "--samples", 6, "--length", 32]
    done = run(capsys, *asked, "--json")
    assert done.status == 0
    found = json.loads(done.out)
    assert {"fits", "device", "phases", "seconds", "host_bytes"} <= set(found)
    assert set(found["device"]) == {"memory_bytes", "peak_bytes", "states_bytes"}
    assert found["microbatch"] == {"sequences": 6, "length": 32, "number": 1}
    assert (found["dtype"], found["compute_dtype"]) == ("float32", "bfloat16")
    shown = run(capsys, *asked)
    assert shown.status == 0
    assert "31.25 GiB" in shown.out
    assert "propagate" in shown.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["llama-3-9b", "--topology", "v5e:2x2"], "llama-3-8b"),
        (["llama-3-8b", "--topology", "v5e"], "v5e:2x4"),
        (["llama-3-8b", "--topology", "v5e:2x2", "--pattern", "3:7"], "7"),
        (["llama-3-8b", "--topology", "v5e:2x2", "--device-memory", "-1"], "--device-memory"),
        (["llama-3-8b", "--topology", "v5e:2x2", "--calibration", "de,de"], "de more than once"),
        (["llama-3-8b", "--topology", "v5e:2x2", "--combine", "most"], "--combine"),
        (["llama-3-8b", "--topology", "v5e:2x2", "--dtype", "int8"], "int8"),
        (["llama-3-8b", "--topology", "v5e:2x2", "--compute-dtype", "float16"], "float16"),
    ],
)
def test_wrong_requests(capsys, words, says):
    done = run(capsys, "plan", *words)
    assert done.status == 2
    assert says in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"dtype": "bfloat16"}, "bfloat16"),
        ({"dtype": ..., "torch_dtype": "float16"}, "float16"),
        ({"dtype": ...}, "float32"),
    ],
)
def test_a_config_says_in_what_dtype_weights_are(tmp_path, config, expected):
    (tmp_path / "config.json").write_text(json.dumps(tiny_config("cohere", **config)))
    model, dtypes = find_source(str(tmp_path))
    assert {dtypes(section)[path].name for section in model.sections for path in model.tensors(section)} == {expected}


def test_weights_say_better_than_their_config_in_what_dtype_they_are(tmp_path):
    write_tiny_checkpoint(tmp_path, "llama", dtype="float32", with_tokenizer=False)
    (tmp_path / "config.json").write_text(json.dumps(tiny_config("llama", dtype="bfloat16")))
    assert {dtype.name for dtype in find_source(str(tmp_path)).dtypes("blocks/1").values()} == {"float32"}


def test_a_dtype_that_no_weights_have(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(tiny_config("llama", dtype="int8")))
    with pytest.raises(RequestError, match=r"config\.json says dtype 'int8'"):
        find_source(str(tmp_path))


@pytest.mark.parametrize(("platform", "expected"), [("cpu", "float32"), ("gpu", "bfloat16"), ("tpu", "bfloat16")])
def test_forward_passes_are_planned_as_prune_runs_them(platform, expected):
    assert parse_compute_dtype(None, platform=platform).name == expected
    assert parse_compute_dtype("float32", platform=platform).name == "float32"


@pytest.mark.parametrize("content", ["[]", "7", "{", '"llama"', "\udcff"])
def test_a_config_that_is_none(tmp_path, content):
    config = tmp_path / "config.json"
    config.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(RequestError, match=r"config\.json"):
        find_source(str(config))
