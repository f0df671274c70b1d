"""The whole analysis: planted neurons are found and carry their language, through checkpoints, on every mesh."""

import json
import math
import shutil

import numpy as np
import pytest
import safetensors.numpy

from jaxprune.analysis.lape import Thresholds
from jaxprune.checkpoints import open_checkpoint
from jaxprune.data.windows import Windows
from jaxprune.errors import RequestError
from jaxprune.jobs import analyze_neurons as subject
from jaxprune.jobs.analyze_neurons import analyze_neurons, silencing_work
from jaxprune.jobs.state_inputs import LEAST_TOKENS, StateInputs, open_lockstep, parse_compared, prepare_states
from jaxprune.sharding import make_mesh
from tests.analysis.planted import LANGUAGES, PLANTED, TOP_RATE, planted_tensors, planted_tokens
from tests.tiny import write_tiny_checkpoint

ONE = {"data": 1, "model": 1}
WINDOWS = {language: Windows(planted_tokens(language, count=6, length=48), None) for language in LANGUAGES}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The planted model, a copy of it, and one that has lost a German neuron's gate."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_checkpoint(folder / "dense", "llama")
    tensors = planted_tensors()
    safetensors.numpy.save_file(tensors, folder / "dense" / "model.safetensors", metadata={"format": "pt"})
    shutil.copytree(folder / "dense", folder / "same")
    shutil.copytree(folder / "dense", folder / "pruned")
    block, neuron = PLANTED["de"][0]
    tensors[f"model.layers.{block}.mlp.gate_proj.weight"][neuron] = 0
    safetensors.numpy.save_file(tensors, folder / "pruned" / "model.safetensors", metadata={"format": "pt"})
    return folder


INPUTS = StateInputs("planted", WINDOWS, 1, {})


def analyze(folders, *names, mesh=ONE, **more):
    checkpoints = [open_checkpoint(str(folders / name)) for name in names]
    chosen = make_mesh(mesh)
    lockstep = open_lockstep(checkpoints, INPUTS, mesh=chosen, compute_dtype=np.dtype("float32"))
    thresholds = Thresholds(top_rate=TOP_RATE)
    return analyze_neurons(checkpoints, INPUTS, lockstep, mesh=chosen, thresholds=thresholds, **more)


@pytest.fixture(scope="module")
def found(folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "out"
    seen, phases = [], []
    names = ("dense", "same", "pruned")
    found = analyze(folders, *names, is_causal=True, out=out, on_tokens=seen.append, on_phase=phases.append)
    checkpoints = [open_checkpoint(str(folders / name)) for name in names]
    through_blocks = 3 * 2 * INPUTS.num_tokens
    assert sum(seen) == through_blocks + silencing_work(checkpoints, INPUTS)
    assert phases[:3] == ["de, en, sw", "dense  nothing silenced", "dense  de silenced"]
    return found, out


def neurons(of_language):
    return [(block, neuron) for block, of_block in enumerate(of_language["neurons"]) for neuron in of_block]


def test_planted_neurons_are_found(found):
    found, _ = found
    dense = found["neurons"]["dense"]
    for language in LANGUAGES:
        assert neurons(dense["languages"][language]) == PLANTED[language]
        assert found["languages"][language] == {"tokens": 6 * 47, "windows": 6}
    assert (dense["chosen"], dense["specific"], dense["in_all_languages"]) == (6, 6, 0)
    assert dense["by_chance"]["below"] == 6
    assert dense["thresholds"]["lape"] == 0
    assert (found["blocks"], found["neurons_per_block"], found["length"], found["leading_tokens"]) == (2, 56, 48, 1)
    assert found["lape"]["highest"] == math.log(3)


def test_they_carry_their_language(found):
    for label, effects in found[0]["silencing"].items():
        for silenced, of in effects.items():
            assert of["own"]["neurons"] == of["others"]["neurons"] >= 1
            own, others = ({*neurons({"neurons": of[which]["silent"]})} for which in ("own", "others"))
            assert len(own) == len(others) == of["own"]["neurons"]
            assert not own & others
            if label != "pruned":
                assert own == set(PLANTED[silenced])
            # The log of a ratio is the difference of the logs of two ratios to the same.
            own_change, others_change = (of[which]["change"][silenced]["value"] for which in ("own", "others"))
            assert of["beyond"]["value"] == pytest.approx(own_change - others_change, rel=1e-6, abs=1e-9)
            assert of["beyond"]["windows"] == 3
            assert of["beyond"]["interval"][0] > 0.05
            for language in LANGUAGES:
                own, others = (of[which]["change"][language] for which in ("own", "others"))
                if language == silenced:
                    assert own["interval"][0] > 0.05, label
                else:
                    assert abs(own["value"]) < 1e-4
                assert abs(others["value"]) < 1e-4


def test_a_model_that_nothing_was_taken_from_is_the_same(found):
    models = found[0]["neurons"]
    dense, same = ({**models[name], "against_first": None} for name in ("dense", "same"))
    assert dense == same
    assert found[0]["silencing"]["dense"] == found[0]["silencing"]["same"]
    shift = models["same"]["against_first"]
    assert (shift["lape_distance"], shift["lape_median_shift"]) == (0, 0)
    assert all(of["iou"] == 1 for of in shift["languages"].values())


def test_what_pruning_took_is_told(found):
    pruned = found[0]["neurons"]["pruned"]
    lost, kept = PLANTED["de"]
    assert lost not in neurons(pruned["languages"]["de"])
    assert kept in neurons(pruned["languages"]["de"])
    shift = pruned["against_first"]["languages"]
    assert (shift["de"]["ceased"], shift["en"]["ceased"], shift["sw"]["ceased"]) == (1, 0, 0)
    assert pruned["lape"]["never_active"] == 1
    assert found[0]["notes"][0].startswith("With 282 tokens of a language an activation probability has a standard")


def test_the_result_is_plain_json_and_complete(found):
    found, out = found
    assert json.loads((out / "neurons.json").read_text()) == found
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [model["label"] for model in found["models"]] == ["dense", "same", "pruned"]
    assert found["texts"] == "planted"
    assert {path.name for path in out.glob("*.png")} == {
        "lape.png", "neurons-by-block.png", "silencing-dense.png", "silencing-pruned.png", "silencing-same.png",
    }  # fmt: skip


@pytest.mark.parametrize("mesh", [{"data": 2, "model": 1}, {"data": 1, "model": 2}])
def test_every_mesh_finds_the_same(folders, found, mesh):
    other = analyze(folders, "dense", mesh=mesh)
    assert other["silencing"] is None
    wanted = found[0]["neurons"]["dense"]
    for part in ("languages", "by_chance", "between_languages", "chosen"):
        assert other["neurons"]["dense"][part] == wanted[part]
    np.testing.assert_allclose(other["neurons"]["dense"]["lape"]["quantiles"], wanted["lape"]["quantiles"], rtol=1e-2)


def test_windows_that_chose_neurons_do_not_judge_them(folders, monkeypatch):
    """Every other window chooses, across microbatches; the rest are what silence is measured on."""
    judged = {}

    def causal_test(read, model, windows, members_LNF, **_):
        judged.update(windows=windows, members=members_LNF)
        return {}

    monkeypatch.setattr(subject, "causal_test", causal_test)
    # The windows that do not choose are of another language each, which would choose its neurons.
    others = dict(zip(LANGUAGES, [*LANGUAGES[1:], LANGUAGES[0]], strict=True))
    mixed = {}
    for language, of in WINDOWS.items():
        tokens = of.tokens_NT.copy()
        tokens[1::2] = WINDOWS[others[language]].tokens_NT[1::2]
        mixed[language] = Windows(tokens, None)
    monkeypatch.setattr(f"{__name__}.INPUTS", StateInputs("planted", mixed, 1, {}))
    analyze(folders, "dense", is_causal=True)
    for index, language in enumerate(LANGUAGES):
        found = [tuple(map(int, pair)) for pair in np.argwhere(judged["members"][index])]
        assert found == PLANTED[language]
        np.testing.assert_array_equal(judged["windows"][language].tokens_NT, mixed[language].tokens_NT[1::2])


def prepare(folders, *names, windows=16, length=64):
    checkpoints = [open_checkpoint(str(folders / name)) for name in names]
    return prepare_states(checkpoints, "files:nowhere", ["de", "sw"], windows=windows, length=length)


@pytest.mark.parametrize(
    ("texts", "languages", "said"),
    [
        ("sample", "de", "de was asked for; name two or more with --languages"),
        ("tokens:a.npy", "de,sw", "has no languages"),
        (None, "de,sw", "no text was named"),
    ],
)
def test_requests_that_make_no_sense(texts, languages, said):
    with pytest.raises(RequestError, match=said):
        parse_compared(texts, languages)


def test_models_that_cannot_be_compared(folders):
    with pytest.raises(RequestError, match="more than once; name each model once"):
        prepare(folders, "dense", "same", "same")
    write_tiny_checkpoint(folders / "wide", "llama", intermediate_size=64)
    with pytest.raises(RequestError, match="intermediate_size is 56 and 64"):
        prepare(folders, "dense", "same", "wide")


def test_the_least_number_of_tokens_is_as_stable_as_is_said():
    assert math.sqrt(0.25 / LEAST_TOKENS) < 0.016
