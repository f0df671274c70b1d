"""Studies of tiny models: what is computed, how often, what failure and interruption leave, and who does what."""

import json
import re
import shutil
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from jaxprune.checkpoints import open_checkpoint
from jaxprune.data import open_texts
from jaxprune.data.calibration import draw_calibration
from jaxprune.errors import RequestError
from jaxprune.evaluation.significance import paired_perplexity
from jaxprune.evaluation.snr_intervals import energy_interval_db, mean_interval
from jaxprune.jobs import study_inputs, study_point, study_stages
from jaxprune.jobs.manifest import read_manifest
from jaxprune.jobs.perplexity import perplexity, prepare_windows
from jaxprune.jobs.prune import prune
from jaxprune.jobs.snr import snr
from jaxprune.jobs.study import Watch, open_study, run_study
from jaxprune.models.causal_lm import block_section
from jaxprune.pruning.first_block import FirstBlockStatistics
from jaxprune.pruning.patterns import Unstructured
from jaxprune.pruning.sparsegpt import SparseGPT
from jaxprune.sharding import make_mesh
from jaxprune.studies.numbers.reading import read_measured
from jaxprune.studies.points import claims
from jaxprune.studies.points.grid import Shard, parse_shard
from jaxprune.studies.points.results import read_study
from tests import multiprocess
from tests.tiny import write_tiny_checkpoint

WORDS = {
    "de": "der die das und Haus Baum Wasser geht kommt groß schön über Jahr Zeit",
    "en": "the and house tree water goes comes large fine over year time with",
    "sw": "na ya wa nyumba mti maji anakwenda anakuja kubwa nzuri juu mwaka wakati",
}


class Killed(BaseException):
    """What a signal is to a process."""


class Bar:
    """Counts, and may die."""

    def __init__(self, told):
        self.told = told

    def phase(self, name):
        self.told("phase", name)

    def advance(self, amount):
        self.told("advance", amount)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model, texts, and a task file, which nobody changes."""
    folder = tmp_path_factory.mktemp("world")
    write_tiny_checkpoint(folder / "model", "llama", seed=0)
    rng = np.random.default_rng(0)
    (folder / "texts").mkdir()
    items = []
    for language, words in WORDS.items():
        lines = [json.dumps({"text": " ".join(rng.choice(words.split(), 60))}) for _ in range(80)]
        (folder / "texts" / f"{language}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        for _ in range(6 if language != "sw" else 0):
            context, *choices = (" ".join(rng.choice(words.split(), size)) for size in (5, 3, 4))
            items.append({"context": context, "choices": choices, "answer": 1, "language": language})
    (folder / "task.jsonl").write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
    return folder


def ask(world, path, **changes):
    """Writes a study file: 2 mixtures, 2 methods, 2 seeds."""
    texts = f"files:{world}/texts"
    study = {
        "title": "Tiny",
        "model": str(world / "model"),
        "mesh": "data=1",
        "calibration": {"texts": texts, "samples": 4, "length": 16, "mixtures": ["de", "de,sw"]},
        "methods": ["wanda", {"name": "sparsegpt", "damping": 0.1}],
        "patterns": [0.5],
        "seeds": [0, 1],
        "evaluation": {
            "languages": ["de", "en", "sw"],
            "perplexity": {"texts": texts, "windows": 3, "length": 16},
            "snr": {"texts": texts, "windows": 2, "length": 16},
            "tasks": {"names": [f"file:{world}/task.jsonl"]},
        },
    }
    path.write_text(yaml.safe_dump(study | changes))
    return path


def run(file, out, *, shard=None, told=lambda kind, what: None, **more):
    """Runs a study; returns what its jobs were and how they ended."""
    ends = {}

    def on_stage(name, stage, total):
        told("stage", (name, stage))
        return Bar(told)

    study = open_study(file, out, Shard(1, 1) if shard is None else parse_shard(shard))
    run_study(study, Watch(on_stage=on_stage, on_end=ends.__setitem__), poll_seconds=0.05, **more)
    return ends


def contents(out: Path):
    """Returns what a study found, without when, how long, and on how many devices it could have."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.suffix == ".json":
            value = json.loads(path.read_text())
            for field in ("seconds", "finished", "peak_bytes", "peak_of", "resumed_at_block", "devices"):
                value.pop(field, None)
            found[name] = value
        elif path.suffix == ".npz":
            with np.load(path) as stored:
                found[name] = {key: stored[key].tolist() for key in stored.files}
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    """A study that nothing interrupted, and how often what is shared was made."""
    folder, counts = tmp_path_factory.mktemp("finished"), Counter()
    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (study_inputs, "draw_calibration"), (study_inputs, "open_checkpoint"), (study_inputs, "prepare_windows"),
            (study_inputs, "prepare_tasks"),
        ):  # fmt: skip
            original = getattr(module, name)

            def counted(*args, _name=name, _original=original, **kwargs):
                counts[_name] += 1
                return _original(*args, **kwargs)

            patch.setattr(module, name, counted)
        ends = run(ask(world, folder / "study.yaml"), folder / "out")
    return folder / "out", ends, counts


def test_every_point_is_there_and_what_they_share_was_made_once(finished):
    out, ends, counts = finished
    found = read_study(out)
    assert not found.missing
    assert [point.status for point in found.points] == ["done"] * 8
    assert list(ends) == ["dense", *(point.id for point in found.points)]
    assert set(ends.values()) == {None}
    # Four sets of tokens; windows for two measures.
    wanted = {"draw_calibration": 4, "open_checkpoint": 1, "prepare_windows": 2, "prepare_tasks": 1}
    assert counts == wanted
    assert sorted(path.name for path in out.iterdir()) == ["calibration", "dense", "points", "study.yaml"]
    for point in found.points:
        kept = sorted(str(path.relative_to(point.folder)) for path in point.folder.rglob("*") if path.is_file())
        assert kept == ["items.npz", "jaxprune/manifest.json", "jaxprune/masks.safetensors", "result.json"]
    assert not list(out.rglob(".claim*"))


def test_a_point_is_what_the_commands_give(finished, world, tmp_path):
    """The same as drawing, pruning and measuring by hand."""
    out, *_ = finished
    point = {point.id: point for point in read_study(out).points}["sparsegpt-damping-0.1_0.5_de+sw_seed1"]
    dense = open_checkpoint(str(world / "model"))
    source = open_texts(f"files:{world}/texts")
    mesh, dtype = make_mesh({"data": 1, "model": 1}), np.dtype("float32")
    tokens = draw_calibration(source, dense.tokenizer(), {"de": 2, "sw": 2}, length=16, seed=1, fill="packed")
    prune(
        dense, tmp_path / "pruned", method=SparseGPT(damping=0.1), pattern=Unstructured(0.5, within="block"),
        calibration=tokens, mesh=mesh, compute_dtype=dtype,
    )  # fmt: skip
    pruned = open_checkpoint(str(tmp_path / "pruned"))
    windows = prepare_windows(pruned, source.reference, ["de", "en", "sw"], windows=3, length=16, protocol="windows")
    wanted = perplexity(pruned, windows, mesh=mesh, compute_dtype=dtype)
    for language, of_language in wanted.items():
        found = point.result["perplexity"][language]
        assert found["perplexity"] == of_language.perplexity
        assert tuple(found["interval"]) == of_language.interval
        nats, count = (point.items()[f"perplexity/{language}/{of}"] for of in ("nats", "tokens"))
        assert nats.sum() / count.sum() == pytest.approx(of_language.nats_per_token, rel=1e-12)
        assert (len(nats), set(count)) == (3, {15})
    windows = prepare_windows(pruned, source.reference, ["de", "en", "sw"], windows=2, length=16, protocol="windows")
    change = snr(dense, pruned, windows, mesh=mesh, compute_dtype=dtype)
    of_german = point.result["snr"]["languages"]["de"]
    assert list(of_german["blocks"].values()) == [block.snr_db for block in change.languages["de"].blocks]
    by_window = change.languages["de"].by_window
    assert of_german["windows"] == 2
    kept = {"signal": by_window.signal_LN, "noise": by_window.noise_LN, "median_db": by_window.median_db_LN}
    assert {name: list(of.values()) for name, of in of_german["by_window"].items()} == {
        name: values_LN.tolist() for name, values_LN in kept.items()
    }
    assert of_german["median_tokens"]["1"] == by_window.median_db_LN[1].mean()
    intervals = of_german["intervals"]
    overall = energy_interval_db(by_window.signal_LN.sum(axis=0), by_window.noise_LN.sum(axis=0))
    assert tuple(intervals["overall"]) == overall
    assert intervals["blocks"]["0"] == list(energy_interval_db(by_window.signal_LN[0], by_window.noise_LN[0]) or ())
    assert intervals["last"] == intervals["blocks"]["1"]
    assert intervals["median_tokens"]["1"] == list(mean_interval(by_window.median_db_LN[1]) or ())
    assert list(point.result["snr"]["weights"]["blocks"].values()) == [block.snr_db for block in change.blocks]
    masks = [folder / "jaxprune" / "masks.safetensors" for folder in (point.folder, tmp_path / "pruned")]
    assert masks[0].read_bytes() == masks[1].read_bytes()
    assert read_manifest(str(point.folder))["calibration"]["sha256"] == tokens.account["sha256"]
    assert point.result["point"] == {
        "calibration": "de+sw", "mixture": {"de": 2, "sw": 2}, "method": "sparsegpt", "settings": {"damping": 0.1},
        "pattern": "0.5", "seed": 1,
    }  # fmt: skip
    assert point.result["sparsity"] == pytest.approx(0.5, abs=0.01)
    assert point.result["model_bytes"] == (tmp_path / "pruned" / "model.safetensors").stat().st_size
    assert point.result["peak_bytes"] > 10**8


def test_tasks_are_there_item_by_item_and_what_has_no_items_is_said(finished, world):
    out, *_ = finished
    found, name = read_study(out), f"file:{world}/task.jsonl"
    assert found.dense is not None
    for result in (found.dense, *found.points):
        languages = result.result["tasks"][name]["languages"]
        assert list(languages) == ["de", "en"]
        assert result.result["missing"] == [[name, "sw"]]
        items = result.items()
        for language, scores in languages.items():
            assert len(items[f"ids/tasks/{name}/{language}"]) == scores["items"] == 6
            assert items[f"tasks/{name}/{language}/acc"].mean() == pytest.approx(scores["metrics"]["acc"]["value"])
    assert "snr" not in found.dense.result
    assert "point" not in found.dense.result


def test_two_seeds_of_one_calibration_are_two_points_that_can_be_compared(finished):
    out, *_ = finished
    points = {point.id: point for point in read_study(out).points}
    a, b = (points[f"wanda_0.5_de_seed{seed}"].items() for seed in (0, 1))
    assert a["perplexity/de/nats"].tolist() != b["perplexity/de/nats"].tolist()
    found = paired_perplexity(a["perplexity/de/nats"], b["perplexity/de/nats"], a["perplexity/de/tokens"])
    assert found.p_value is not None


def test_a_finished_study_does_nothing_and_one_that_grew_does_the_rest(finished, world, tmp_path):
    shutil.copytree(finished[0], tmp_path / "out")
    file = ask(world, tmp_path / "study.yaml")
    assert run(file, tmp_path / "out") == {}
    before = contents(tmp_path / "out")
    grown = ask(world, tmp_path / "study.yaml", methods=["magnitude", "wanda", {"name": "sparsegpt", "damping": 0.1}])
    assert run(grown, tmp_path / "out") == {"magnitude_0.5": None}
    after = contents(tmp_path / "out")
    assert {name: after[name] for name in before if name != "study.yaml"} == {
        name: value for name, value in before.items() if name != "study.yaml"
    }
    result = after["points/magnitude_0.5/result.json"]
    assert result["point"]["calibration"] is result["point"]["seed"] is None
    with pytest.raises(RequestError, match=r"methods has 'magnitude' there, and .* has not"):
        open_study(ask(world, file), tmp_path / "out", Shard(1, 1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"compute_dtype": "bfloat16"}, "compute_dtype is None there and 'bfloat16' in"),
        ({"seeds": [0, 2]}, "seeds has 1 there"),
        ({"dtype": "bfloat16"}, "dtype is None there and 'bfloat16' in"),
        ({"methods": ["wanda", {"name": "sparsegpt", "damping": 0.2}]}, "methods has 'sparsegpt-damping-0.1' there"),
    ],
)
def test_another_study_in_the_same_folder_is_refused(finished, world, tmp_path, change, words):
    before = contents(finished[0])
    with pytest.raises(RequestError, match=words):
        open_study(ask(world, tmp_path / "other.yaml", **change), finished[0], Shard(1, 1))
    assert contents(finished[0]) == before
    renamed = ask(world, tmp_path / "renamed.yaml", title="Another title")
    open_study(renamed, finished[0], Shard(1, 1))


def test_what_is_asked_for_later_is_measured_and_nothing_else(finished, world, tmp_path):
    """Fewer languages and tasks, kept models, killed on the way: in the end what a study that asked at once has."""
    out, file = tmp_path / "out", tmp_path / "study.yaml"
    first = yaml.safe_load(ask(world, file, keep="models").read_text())
    texts = first["evaluation"]["perplexity"]["texts"]
    asked = {
        "languages": ["de", "en", "sw"],
        "perplexity": {"texts": texts, "windows": 3, "length": 16},
        "tasks": {"names": [f"file:{world}/task.jsonl"], "limit": 3},
    }
    small = {"keep": "models", "methods": ["wanda"], "seeds": [0]}
    run(ask(world, file, **small, evaluation=asked), out)
    [before, *_] = read_study(out).points
    asked = {**first["evaluation"], "tasks": {"names": [f"file:{world}/task.jsonl"]}}
    later = ask(world, file, **small, evaluation=asked)
    names = ["wanda_0.5_de_seed0", "wanda_0.5_de+sw_seed0"]
    seen = []

    def kill(kind, what):
        seen.append((kind, what))
        if kind == "stage" and what[0] == names[1] and what[1].startswith("tasks"):
            raise Killed

    with pytest.raises(Killed):
        run(later, out, told=kill)
    assert [point.status for point in read_study(out).points] == ["done", "outdated"]
    run(later, out, told=lambda kind, what: seen.append((kind, what)))
    stages = Counter((name, stage.partition(":")[0]) for kind, (name, stage) in of_kind(seen, "stage"))
    assert stages == {("dense", "tasks"): 1} | dict.fromkeys(((name, "snr") for name in names), 1) | {
        (names[0], "tasks"): 1,
        (names[1], "tasks"): 2,
    }
    found, wanted = contents(out), contents(finished[0])
    for name in ("dense", *(f"points/{name}" for name in names)):
        for file in ("result.json", "items.npz"):
            assert found[f"{name}/{file}"] == wanted[f"{name}/{file}"], (name, file)
    [after, *_] = read_study(out).points
    assert after.result["seconds"]["perplexity"] == before.result["seconds"]["perplexity"]
    # Asked for less, nothing is computed.
    told = []
    run(ask(world, later, **small, evaluation={**asked, "snr": None}), out, told=lambda *what: told.append(what))
    assert told == []


def of_kind(told, kind):
    return [entry for entry in told if entry[0] == kind]


def test_killed_anywhere_and_run_again_it_is_the_same(finished, world, tmp_path):
    """At every stage and some phases of one point; nothing that was finished is computed again."""
    study = ask(world, tmp_path / "study.yaml")
    shutil.copytree(finished[0], tmp_path / "whole")
    wanted, name = contents(tmp_path / "whole"), "wanda_0.5_de_seed0"
    told = []

    def clear(out):
        shutil.copytree(tmp_path / "whole", out)
        shutil.rmtree(out / "points" / name)

    clear(tmp_path / "watched")
    run(study, tmp_path / "watched", told=lambda kind, what: told.append((kind, what)))
    assert contents(tmp_path / "watched") == wanted
    stages = [index for index, (kind, _) in enumerate(told) if kind == "stage"]
    assert len(stages) >= 4
    for kill_at in (*stages[1:], *range(1, stages[1], 4), len(told) - 1):
        out, seen = tmp_path / f"killed-{kill_at}", []
        clear(out)

        def kill(kind, what, seen=seen, kill_at=kill_at):
            seen.append((kind, what))
            if len(seen) == kill_at + 1:
                raise Killed

        with pytest.raises(Killed):
            run(study, out, told=kill)
        assert name in read_study(out).missing
        again = []
        run(study, out, told=lambda kind, what, again=again: again.append(what) if kind == "stage" else None)
        assert contents(out) == wanted, told[kill_at]
        done_before = [what for kind, what in seen[:-1] if kind == "stage"][:-1] if kill_at in stages else []
        assert not {what for what in done_before if "tasks" not in what[1]} & set(again)


def test_a_point_that_fails_is_recorded_and_tried_again_by_the_next_run_only(finished, world, tmp_path, monkeypatch):
    study, out = ask(world, tmp_path / "study.yaml"), tmp_path / "out"
    shutil.copytree(finished[0], out)
    shutil.rmtree(out / "points")
    original, calls = study_stages.snr.snr, []

    def fail(dense, pruned, *args, **kwargs):
        calls.append(pruned.reference)
        if "wanda_0.5_de+sw_seed0" in pruned.reference:
            raise RuntimeError("the machine burns")
        if "sparsegpt-damping-0.1_0.5_de_seed1" in pruned.reference:
            raise RequestError("this cannot be")
        return original(dense, pruned, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(study_stages.snr, "snr", fail)
        ends = run(study, out)
    assert len(calls) == 8
    failed = {name: error for name, error in ends.items() if error is not None}
    assert failed == {
        "wanda_0.5_de+sw_seed0": "snr: RuntimeError: the machine burns",
        "sparsegpt-damping-0.1_0.5_de_seed1": "snr: this cannot be",
    }
    points = {point.id: point for point in read_study(out).points}
    assert Counter(point.status for point in points.values()) == {"done": 6, "failed": 2}
    burnt = points["wanda_0.5_de+sw_seed0"]
    assert burnt.error is not None
    assert (burnt.error["stage"], burnt.error["message"]) == ("snr", "RuntimeError: the machine burns")
    assert "test_study.py" in burnt.error["traceback"]
    # What was measured before it failed is there.
    assert burnt.result["perplexity"]["de"]["perplexity"] > 1
    stages = []
    ends = run(study, out, told=lambda kind, what: stages.append(what) if kind == "stage" else None)
    assert ends == dict.fromkeys(failed)
    assert {stage for _, stage in stages if "tasks" not in stage} == {"snr"}
    assert contents(out) == contents(finished[0])


def test_a_calibration_that_cannot_be_drawn_leaves_the_others(world, tmp_path):
    texts = f"files:{world}/texts"
    calibration = {"texts": texts, "samples": 4, "length": 16, "mixtures": ["de", "en=100000"]}
    evaluation = {"languages": ["de"], "perplexity": {"texts": texts, "windows": 2, "length": 16}}
    file = ask(world, tmp_path / "s.yaml", calibration=calibration, evaluation=evaluation, methods=["wanda"], seeds=[0])
    ends = run(file, tmp_path / "out")
    assert ends["wanda_0.5_de_seed0"] is None
    assert ends["wanda_0.5_en=100000_seed0"].startswith("prune: calibration: en of files:")


def test_what_lies_in_the_way_of_a_point_leaves_the_others(finished, world, tmp_path):
    out, name = tmp_path / "out", "wanda_0.5_de_seed0"
    shutil.copytree(finished[0], out)
    shutil.rmtree(out / "points" / name)
    (out / "points" / name).touch()
    shutil.rmtree(out / "dense")
    ends = run(ask(world, tmp_path / "study.yaml"), out)
    assert ends["dense"] is None
    assert ends[name].startswith(f"start: {out / 'points' / name} cannot be made (File exists); remove")
    assert name in read_study(out).missing


def test_damaged_results_and_tokens_are_made_anew(finished, world, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    (out / "points" / "wanda_0.5_de_seed0" / "result.json").write_text("{")
    (out / "dense" / "result.json").write_text("[]")
    (out / "calibration" / "de.seed0.npz").write_bytes(b"PK\x03\x04")
    (out / "points" / "wanda_0.5_de_seed1" / "items.npz").unlink()
    made = ["dense", "wanda_0.5_de_seed0", "wanda_0.5_de_seed1"]
    assert list(run(ask(world, tmp_path / "study.yaml"), out)) == made
    assert contents(out) == contents(finished[0])


def test_a_task_file_that_is_edited_in_the_middle_pairs_no_items(world, tmp_path):
    out, file = tmp_path / "out", tmp_path / "task.jsonl"
    shutil.copy(world / "task.jsonl", file)
    asked = ask(
        world, tmp_path / "study.yaml", methods=["magnitude"], seeds=[0],
        evaluation={"languages": ["de", "en"], "tasks": {"names": [f"file:{file}"]}},
    )  # fmt: skip
    run(asked, out)
    assert not read_measured(read_study(out)).problems
    lines = file.read_text(encoding="utf-8").splitlines()
    changed = next(number for number, line in enumerate(lines) if json.loads(line)["language"] == "de")
    lines[changed] = json.dumps({**json.loads(lines[changed]), "answer": 0})
    file.write_text("\n".join(lines), encoding="utf-8")
    shutil.rmtree(out / "points" / "magnitude_0.5")
    run(asked, out)
    [problem] = read_measured(read_study(out)).problems
    assert problem.point == "magnitude_0.5"
    assert "in de: 1 of 6 items have the dense model's ids and another content" in problem.what


@pytest.mark.parametrize("keep", ["models", "nothing"])
def test_what_is_kept(world, tmp_path, keep):
    texts = f"files:{world}/texts"
    evaluation = {"languages": ["de"], "perplexity": {"texts": texts, "windows": 2, "length": 16}}
    changes = {"evaluation": evaluation, "methods": ["magnitude"], "seeds": [0], "keep": keep}
    run(ask(world, tmp_path / "study.yaml", **changes), tmp_path / "out")
    [point] = read_study(tmp_path / "out").points
    if keep == "nothing":
        assert sorted(path.name for path in point.folder.iterdir()) == ["items.npz", "result.json"]
    else:
        assert read_manifest(str(point.folder / "model"))["method"]["name"] == "magnitude"
        assert open_checkpoint(str(point.folder / "model")).read(block_section(0)) is not None


def files_of(out):
    """Returns every file and folder, claims and unfinished files among them."""
    return sorted(str(path.relative_to(out)) for path in out.rglob("*"))


def abandoned_claim(path):
    """Writes a claim of a process of this machine that is gone."""
    own = claims.take(path.parent, path.name)
    held = json.loads(path.read_text())
    own.__exit__()
    path.write_text(json.dumps(held | {"started": "1"}))


def test_what_a_process_left_that_died_right_after_a_result_is_removed(finished, world, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    before = files_of(out)
    folder = out / "points" / "wanda_0.5_de_seed0"
    (folder / "model").mkdir()
    (folder / "jaxprune").rename(folder / "model" / "jaxprune")
    (folder / ".snr.json").write_text("{}")
    assert run(ask(world, tmp_path / "study.yaml"), out) == {}
    assert contents(out) == contents(finished[0])
    assert files_of(out) == before


@pytest.mark.parametrize(
    "left",
    [
        "points/wanda_0.5_de_seed0/.perplexity.json",
        "points/wanda_0.5_de_seed0/.perplexity.npz",
        "points/wanda_0.5_de_seed0/.result.json.0123456789ab.new",
        "points/wanda_0.5_de_seed0/..perplexity.npz.0123456789ab.new",
        "points/wanda_0.5_de_seed0/.model.partial/model.safetensors",
        "points/wanda_0.5_de_seed0/.claim",
        "dense/.claim",
        "calibration/.de.seed0.claim",
        "calibration/.de.seed0.npz.0123456789ab.new",
        ".study.yaml.0123456789ab.new",
    ],
)
def test_what_a_killed_process_left_beside_results_is_removed(finished, world, tmp_path, left):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    before = files_of(out)
    path = out / left
    path.parent.mkdir(exist_ok=True)
    if "claim" in path.name:
        abandoned_claim(path)
    else:
        path.write_bytes(b"half of")
    assert files_of(out) != before
    assert run(ask(world, tmp_path / "study.yaml"), out) == {}
    assert files_of(out) == before


def test_what_another_process_is_at_is_left_to_it(finished, world, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    folder = out / "calibration"
    unfinished = folder / ".de.seed0.npz.0123456789ab.new"
    unfinished.write_bytes(b"half of")
    with claims.take(folder, ".de.seed0.claim"), claims.take(out / "dense"):
        (out / "dense" / ".snr.json").write_text("{}")
        assert run(ask(world, tmp_path / "study.yaml"), out) == {}
        assert unfinished.exists()
        assert (out / "dense" / ".snr.json").exists()
        assert (folder / ".de.seed0.claim").exists()


def test_a_result_of_a_process_that_has_lost_its_point_is_dropped(finished, world, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    before = (out / "dense" / "result.json").read_bytes()
    monkeypatch.setattr(claims.Claim, "is_held", lambda self: False)
    inputs = study_inputs.Inputs(open_study(ask(world, tmp_path / "study.yaml"), out, Shard(1, 1)).config, out)
    error = study_point.compute(
        None, inputs, out / "dense", start_bar=lambda *args: Bar(lambda *told: None), is_held=lambda: False
    )
    assert error is None
    assert (out / "dense" / "result.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"methods": [{"name": "wanda", "damping": 0.1}]}, "methods[0]: damping has no meaning for wanda"),
        ({"methods": [{"name": "wanda", "combine": "max"}]}, "methods[0]: combine 'max' is unknown"),
        ({"methods": [{"name": "wanda", "within": "row"}]}, "methods[0]: within 'row' is unknown"),
        ({"mesh": "data=64"}, "mesh: the mesh data=64,model=1 needs 64 devices"),
        ({"calibration": {"texts": "files:/nowhere", "mixtures": ["de"]}}, "calibration.texts: "),
    ],
)
def test_what_can_be_known_is_checked_before_anything_is_opened(world, tmp_path, change, words):
    file = ask(world, tmp_path / "study.yaml", model="/nowhere", **change)
    with pytest.raises(RequestError) as error:
        open_study(file, tmp_path / "out", Shard(1, 1))
    assert f"{file}: {words}" in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("part", ["perplexity", "snr"])
def test_too_little_text_to_measure_on_is_told_by_the_keys_of_the_file(world, tmp_path, part):
    texts = f"files:{world}/texts"
    asked = {"languages": ["de"], "perplexity": {"texts": texts, "windows": 2, "length": 16}}
    asked[part] = {"texts": texts, "windows": 10**6, "length": 16}
    with pytest.raises(RequestError, match=rf"^evaluation\.{part}: .*1000000 windows.*\(windows\)"):
        run(ask(world, tmp_path / "study.yaml", evaluation=asked), tmp_path / "out")


def test_too_little_text_to_calibrate_on_is_told_by_the_keys_of_the_file(world, tmp_path):
    calibration = {"texts": f"files:{world}/texts", "samples": 10**6, "length": 16, "mixtures": ["de"]}
    out = tmp_path / "out"
    run(ask(world, tmp_path / "study.yaml", calibration=calibration, methods=["wanda"], seeds=[0]), out)
    failed = json.loads((out / "points" / "wanda_0.5_de_seed0" / "result.json").read_text())
    assert failed["status"] == "failed"
    assert re.search(r"calibration: .*1000000 sequences.*\(samples\)", failed["error"]["message"])


def test_an_unknown_task_is_refused_with_its_place(world, tmp_path):
    evaluation = {"languages": ["de"], "tasks": {"names": ["next-vers"]}}
    with pytest.raises(RequestError, match=r"evaluation\.tasks\.names\[0\]: there is no task 'next-vers'"):
        open_study(ask(world, tmp_path / "study.yaml", evaluation=evaluation), tmp_path / "out", Shard(1, 1))


def test_a_folder_of_something_else_is_refused(world, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letters").touch()
    with pytest.raises(RequestError, match="holds letters and no study"):
        open_study(ask(world, tmp_path / "study.yaml"), tmp_path / "out", Shard(1, 1))


def test_patterns_of_one_calibration_share_the_statistics_of_the_first_block(world, tmp_path, monkeypatch):
    texts = f"files:{world}/texts"
    hits = Counter()
    original = FirstBlockStatistics.collect

    def collect(self, sweep, index, *args, **kwargs):
        before = self._kept
        result = original(self, sweep, index, *args, **kwargs)
        hits[index, before is self._kept and before is not None] += 1
        return result

    monkeypatch.setattr(FirstBlockStatistics, "collect", collect)
    evaluation = {"languages": ["de"], "perplexity": {"texts": texts, "windows": 2, "length": 16}}
    changes = {"evaluation": evaluation, "methods": ["wanda"], "seeds": [0], "patterns": [0.5, "2:4", 0.25]}
    run(ask(world, tmp_path / "study.yaml", **changes), tmp_path / "out")
    assert (hits[0, False], hits[0, True]) == (2, 4)


def test_processes_share_a_study_and_take_over_from_one_that_is_killed(world, tmp_path):
    """Two without parts and one that is killed: each point once, and the same as alone."""
    texts = f"files:{world}/texts"
    evaluation = {"languages": ["de"], "perplexity": {"texts": texts, "windows": 2, "length": 16}}
    changes = {"methods": ["magnitude"], "patterns": [0.25, 0.5, 0.75, "2:4"]}
    file = ask(world, tmp_path / "study.yaml", evaluation=evaluation, **changes)
    words = ["study", str(file), str(tmp_path / "out"), "--json"]
    hold = multiprocess.Hold("jaxprune.jobs.study", "compute", 1, tmp_path / "held")
    victim = multiprocess.start_alone(words, devices=1, logs=tmp_path / "victim", hold=hold)
    hold.wait(victim)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    [abandoned] = (tmp_path / "out").rglob(".claim")
    assert json.loads(abandoned.read_text())["pid"] == victim.pid
    others = [multiprocess.start_alone(words, devices=1, logs=tmp_path / str(index)) for index in range(2)]
    assert multiprocess.wait(others, seconds=600) == [0, 0]
    logs = [(tmp_path / str(index) / "0.err").read_text() for index in range(2)]
    ended = Counter(line.split()[2] for log in logs for line in log.splitlines() if line.endswith("  done"))
    points = read_study(tmp_path / "out").points
    assert ended == dict.fromkeys(["dense", *(point.id for point in points)], 1)
    assert len(points) == 4
    run(file, tmp_path / "alone")
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


def test_parts_are_computed_apart_and_make_one_study(finished, world, tmp_path):
    study, out = ask(world, tmp_path / "study.yaml"), tmp_path / "out"
    done = [list(run(study, out, shard=f"{index}/4")) for index in (3, 1, 4, 2)]
    assert [len(names) for names in done] == [2, 2, 3, 2]
    assert "dense" in done[1]
    assert contents(out) == contents(finished[0])
