"""``jaxprune study``: what is printed, and the exit status."""

import json

import pytest
import yaml

from jaxprune.jobs import study_stages
from tests.cli.run import run


@pytest.fixture
def study(tmp_path, tiny, texts):
    windows = {"texts": texts, "windows": 2, "length": 16}
    asked = {
        "title": "A tiny study",
        "model": str(tiny),
        "mesh": "data=1",
        "calibration": {"texts": texts, "samples": 4, "length": 16, "mixtures": ["de", "de,sw"]},
        "methods": ["wanda"],
        "patterns": [0.5],
        "seeds": [0, 1],
        "evaluation": {"languages": ["de", "sw"], "perplexity": windows, "snr": {**windows, "windows": 1}},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(asked))
    return tmp_path / "study.yaml"


def test_a_dry_run_says_what_there_is_to_do_and_writes_nothing(capsys, study, tmp_path, monkeypatch):
    done = run(capsys, "study", study, tmp_path / "out", "--dry-run", "--shard", "1/2")
    assert done.status == 0, done.err
    assert "wanda_0.5_de_seed0" in done.out
    assert "wanda_0.5_de_seed1" not in done.out
    # 4 x 16 tokens twice, 2 languages x 2 x 16 once and x 1 x 16 three times, for one point and once for the dense one.
    assert f"2 of 2 points; {2 * 4 * 16 + 2 * 2 * 16 + 3 * 2 * 16 + 2 * 2 * 16} tokens" in done.out
    plan = json.loads(run(capsys, "study", study, tmp_path / "out", "--dry-run", "--json").out)
    assert [point["id"] for point in plan["points"]][:2] == ["dense", "wanda_0.5_de_seed0"]
    assert len(plan["points"]) == 5
    assert not (tmp_path / "out").exists()
    assert "tasks" not in done.out
    asked = yaml.safe_load(study.read_text())
    lines = [{"context": str(i), "choices": ["a", "b"], "answer": 0, "language": "de"} for i in range(7)]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, lines)))
    asked["evaluation"]["tasks"] = {"names": [f"file:{tmp_path}/own.jsonl", "exams"], "limit": 6}
    asked["evaluation"]["languages"] = ["sw", "de"]
    study.write_text(yaml.safe_dump(asked))
    monkeypatch.setenv("JAXPRUNE_CACHE", str(tmp_path / "nothing"))
    told = run(capsys, "study", study, tmp_path / "out", "--dry-run")
    assert "tokens through the model, and those of tasks that are not counted" in told.out
    assert "not counted  the tokens of exams: the data come when the study runs" in told.out
    assert f"of each model, counted with the tokenizer of {asked['model']}: scoring reads" in told.out
    assert "generation reads" not in told.out
    assert [line.split()[-2:] for line in told.out.splitlines() if "seed0" in line] == [["13", "?"]] * 2
    assert any(line.split() == ["exams", "–", "≤", "6"] for line in told.out.splitlines())
    assert "exams has no data in sw: left out there." in told.out
    plan = json.loads(run(capsys, "study", study, tmp_path / "out", "--dry-run", "--json").out)
    assert plan["items"] == {f"file:{tmp_path}/own.jsonl": {"de": 6}, "exams": {"de": None}}
    assert plan["missing"] == {name: ["sw"] for name in plan["items"]}
    assert plan["uncounted"] == {"exams": "the data come when the study runs"}
    # Of each question BOS and a digit, and of all choices BOS: each choice is one token, from which nothing follows.
    assert all(point["tokens"]["scoring"] == 6 * 2 + 1 for point in plan["points"])
    assert plan["tokens"] == sum(sum(point["tokens"].values()) for point in plan["points"])
    monkeypatch.setattr("jaxprune.jobs.study.run_study", lambda *args: None)
    begun = run(capsys, "study", study, tmp_path / "out")
    assert "exams has no data in sw: left out there.\n" in begun.err


@pytest.mark.parametrize("keep", ["models", "nothing"])
def test_what_is_asked_for_later_is_what_there_is_to_do(capsys, study, tmp_path, keep):
    asked = yaml.safe_load(study.read_text())
    study.write_text(yaml.safe_dump({**asked, "keep": keep, "seeds": [0], "methods": ["wanda"]}))
    assert run(capsys, "study", study, tmp_path / "out").status == 0
    asked["evaluation"]["perplexity"]["windows"] = 3
    study.write_text(yaml.safe_dump({**asked, "keep": keep, "seeds": [0, 1], "methods": ["wanda"]}))
    plan = json.loads(run(capsys, "study", study, tmp_path / "out", "--dry-run", "--json").out)
    found = {point["id"]: (point["status"], *point["tokens"].values()) for point in plan["points"]}
    # Tokens of pruning, of perplexity, of signal-to-noise ratios: 4 x 16 twice, 2 languages x 3 x 16, x 1 x 16 thrice.
    assert found["dense"] == ("outdated", 0, 96, 0, 0, 0)
    assert found["wanda_0.5_de_seed0"] == ("outdated", 0 if keep == "models" else 128, 96, 0, 0, 0)
    assert found["wanda_0.5_de_seed1"] == ("to do", 128, 96, 96, 0, 0)
    done = run(capsys, "study", study, tmp_path / "out", "--shard", "2/3")
    assert "0 done; 0 failed; 2 to do here (part 2/3), 2 of them only what the file asks for anew" in done.err
    assert (
        json.loads(run(capsys, "study", study, tmp_path / "out", "--dry-run", "--json").out)["points"][1]["status"]
        == "done"
    )


def test_a_table_a_method_with_a_row_a_mixture_and_a_column_a_language(capsys, study, tmp_path):
    done = run(capsys, "study", study, tmp_path / "out")
    assert done.status == 0, done.err
    assert "5 points in all, the dense model's among them; 0 done; 0 failed; 5 to do here" in done.err
    assert "point 3/5 wanda_0.5_de+sw_seed0  done" in done.err
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines() if line.strip()}
    assert rows["calibrated"] == ["on", "de", "sw"]
    values = []
    for seed in (0, 1):
        found = json.loads((tmp_path / "out" / "points" / f"wanda_0.5_de_seed{seed}" / "result.json").read_text())
        values.append(found["perplexity"]["sw"]["perplexity"])
    assert float(rows["de"][1]) == pytest.approx((values[0] * values[1]) ** 0.5, rel=1e-3)
    assert rows["done"] == ["5", "of", "5", "points"]
    again = run(capsys, "study", study, tmp_path / "out", "--json")
    assert again.status == 0
    assert "5 done; 0 failed; 0 to do here" in again.err
    result = json.loads(again.out)
    assert (len(result["done"]), result["failed"], result["missing"]) == (5, [], [])
    plan = run(capsys, "study", study, tmp_path / "out", "--dry-run")
    assert "0 of 5 points" in plan.out


def test_a_failure_of_this_part_is_status_1_and_of_another_is_said(capsys, study, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("the machine burns")

    with monkeypatch.context() as patch:
        patch.setattr(study_stages.snr, "snr", fail)
        failed = run(capsys, "study", study, tmp_path / "out", "--shard", "2/2", "--json")
    assert failed.status == 1
    result = json.loads(failed.out)
    assert [found["id"] for found in result["failed"]] == result["own"]["jobs"]
    assert "failed at snr: RuntimeError: the machine burns" in failed.err
    other = run(capsys, "study", study, tmp_path / "out", "--shard", "1/2")
    assert other.status == 0, other.err
    # What all of them fail by is told once.
    names = ", ".join(found["id"] for found in result["failed"])
    assert len(result["failed"]) > 1
    assert f"failed {names} at snr" in " ".join(other.out.split())
    again = run(capsys, "study", study, tmp_path / "out", "--shard", "2/2")
    assert again.status == 0
    assert "3 of them again" in again.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--shard", "3/2"], "write I/N"),
        (["--shard", "0/2"], "write I/N"),
    ],
)
def test_wrong_requests_end_with_2(capsys, study, tmp_path, options, words):
    done = run(capsys, "study", study, tmp_path / "out", *options)
    assert (done.status, done.out) == (2, "")
    assert words in done.err
    assert not (tmp_path / "out").exists()


def test_a_wrong_study_file_and_a_model_that_is_not_there_end_with_2(capsys, study, tmp_path):
    text = study.read_text()
    study.write_text(text.replace("windows:", "widows:"))
    done = run(capsys, "study", study, tmp_path / "out")
    assert done.status == 2
    assert "evaluation.perplexity.widows: unknown key (did you mean windows?)" in " ".join(done.err.split())
    lines = [f"model: {tmp_path}/nothing" if line.startswith("model:") else line for line in text.splitlines()]
    study.write_text("\n".join(lines))
    assert run(capsys, "study", study, tmp_path / "out").status == 2
    assert run(capsys, "study", tmp_path / "absent.yaml", tmp_path / "out").status == 2
