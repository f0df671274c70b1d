"""A study that asks tasks of lm-evaluation-harness; the harness itself says what is right."""

import copy
import dataclasses
import json
import shutil
import sys

import lm_eval
import numpy as np
import pytest
import yaml
from lm_eval.tasks import TaskManager

from jaxprune.errors import RequestError
from jaxprune.harness import JaxpruneLM
from jaxprune.jobs.report import report
from jaxprune.jobs.study import open_study
from jaxprune.studies.numbers.reading import read_measured
from jaxprune.studies.points.grid import Shard
from jaxprune.studies.points.results import read_study
from jaxprune.studies.report.markdown import markdown_report
from jaxprune.studies.report.summary import summarise
from jaxprune.studies.report.summary_json import as_json
from tests.harness.made_tasks import ACC, questions, write_task
from tests.jobs.test_study import WORDS, Killed, contents, run
from tests.tiny import write_tiny_checkpoint

POINTS = ("wanda_0.5_de_seed0", "wanda_0.5_en_seed0")


# What the right choice has of the likelihood: a number that every model has its own of.
SURE = """\
import math

def sure(doc, results):
    most = max(nats for nats, _ in results)
    shares = [math.exp((nats - most) / 20) for nats, _ in results]
    return {"sure": shares[doc["answer"]] / sum(shares)}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model, texts, a task of this project's own, and two of the harness in two languages."""
    folder = tmp_path_factory.mktemp("world")
    write_tiny_checkpoint(folder / "model", "llama", seed=0)
    (folder / "texts").mkdir()
    rng = np.random.default_rng(0)
    own = []
    for language in ("de", "en", "sw"):
        words = WORDS[language].split()
        lines = [json.dumps({"text": " ".join(rng.choice(words, 60))}) for _ in range(40)]
        (folder / "texts" / f"{language}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        own += [{"context": word, "choices": ["na", "ya"], "answer": 0, "language": language} for word in words[:5]]
        write_task(folder / "yaml", f"quiz_{language}", questions(len(own), count=14))
    write_task(folder / "yaml", "sure_en", questions(3, count=6), metric_list=[{**ACC, "metric": "sure"}])
    with (folder / "yaml" / "sure_en.yaml").open("a", encoding="utf-8") as file:
        file.write("process_results: !function scores.sure\n")
    (folder / "yaml" / "scores.py").write_text(SURE, encoding="utf-8")
    (folder / "own.jsonl").write_text("\n".join(map(json.dumps, own)), encoding="utf-8")
    return folder


QUIZ = {"metric": "acc", "ability": "knowledge", "languages": {"de": "quiz_de", "en": "quiz_en"}}
SURENESS = {"metric": "sure", "ability": "language", "languages": {"en": "sure_en"}, "limit": 4}


def ask(world, path, *, quiz=QUIZ, include=None, **changes):
    texts = f"files:{world}/texts"
    study = {
        "title": "Quiz",
        "model": str(world / "model"),
        "mesh": "data=1",
        "calibration": {"texts": texts, "samples": 4, "length": 16, "mixtures": ["de", "en"]},
        "methods": ["wanda"],
        "patterns": [0.5],
        "keep": "models",
        "evaluation": {
            "languages": ["de", "en", "sw"],
            "tasks": {"names": [f"file:{world}/own.jsonl"]},
            "harness": {
                "limit": 9,
                "include": include or str(world / "yaml"),
                "tasks": {"quiz": quiz, "sureness": SURENESS},
            },
        },
        "decision": {
            "weights": {"quiz": 1, "sureness": 3},
            "targets": [{"measure": "quiz", "worse_than_dense_at_most": 0.5}],
        },
        **changes,
    }
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(world):
    """The study, with the folder of tasks that it names."""
    ends = run(ask(world, world / "study.yaml"), world / "out")
    assert ends == dict.fromkeys(("dense", *POINTS))
    return world / "out"


def test_every_item_is_what_the_harness_says_of_the_pruned_model(finished, world):
    found = read_study(finished)
    names = ["quiz_de", "quiz_en", "sure_en"]
    models = {"dense": world / "model", **{point.id: point.folder / "model" for point in found.points}}
    assert found.dense is not None
    seen = set()
    for result in (found.dense, *found.points):
        judged = lm_eval.simple_evaluate(
            model=JaxpruneLM(str(models[result.id]), data=1),
            tasks=names,
            task_manager=TaskManager(include_path=str(world / "yaml"), include_defaults=False),
            log_samples=True,
            bootstrap_iters=0,
        )
        items = result.items()
        for row, language, metric in (("quiz", "de", "acc"), ("quiz", "en", "acc"), ("sureness", "en", "sure")):
            name = {"quiz": f"quiz_{language}", "sureness": "sure_en"}[row]
            wanted = {f"{name}/{sample['doc_id']}": sample[metric] for sample in judged["samples"][name]}
            ids = items[f"ids/tasks/{row}/{language}"].tolist()
            scores = items[f"tasks/{row}/{language}/{metric}"]
            assert scores.tolist() == pytest.approx([wanted[id_] for id_ in ids], rel=1e-5)
            assert len(set(ids)) == (9 if row == "quiz" else 4)
            said = result.result["tasks"][row]["languages"][language]
            assert said["metrics"][metric]["value"] == scores.mean()
            assert said["items"] == len(ids)
            assert said["harness"] == {"task": name, "versions": ["Yaml"], "shots": [0]}
        seen.add(tuple(items["tasks/sureness/en/sure"].round(3)))
        numbers = [[id_.partition("/")[2] for id_ in items[f"ids/tasks/quiz/{of}"]] for of in ("de", "en")]
        assert numbers[0] == numbers[1]
    # No two models answer alike, and so none was asked instead of another.
    assert len(seen) == 3


def test_it_has_the_form_of_own_tasks_and_says_what_there_is_not(finished, world):
    result = read_study(finished).dense
    assert result is not None
    own = f"file:{world}/own.jsonl"
    tasks = result.result["tasks"]
    assert list(tasks) == [own, "quiz", "sureness"]
    assert {**tasks["quiz"], "languages": None} == {
        "ability": "knowledge", "kind": "choice", "headline": "acc", "languages": None,
    }  # fmt: skip
    assert result.result["missing"] == [["quiz", "sw"], ["sureness", "de"], ["sureness", "sw"]]
    baselines = [tasks[name]["languages"]["en"]["baselines"] for name in (own, "quiz", "sureness")]
    assert baselines[0].keys() == baselines[1].keys()
    assert baselines[2] == {}
    assert not read_measured(read_study(finished)).problems


def without_baselines(study):
    """Returns it as if nobody knew what guessing gives: a model of random numbers has nothing above that."""
    result = copy.deepcopy(dict(study.dense.result))
    for task in result["tasks"].values():
        for of_language in task["languages"].values():
            of_language["baselines"] = {}
    return dataclasses.replace(study, dense=dataclasses.replace(study.dense, result=result))


def test_a_report_decides_nothing_by_guesses(finished):
    summary = summarise(read_study(finished))
    assert {answer.language for answer in summary.answers} == {"en"}
    [decision] = summary.decisions
    assert decision.criterion.weights == {"sureness": 1.0}
    assert "not measurably above" in decision.criterion.left_out["quiz"]
    [target] = decision.best.targets
    assert target.is_met is None


def test_a_report_decides_by_it(finished):
    summary = summarise(without_baselines(read_study(finished)))
    found = as_json(summary)
    for given in found["answers"]:
        decision = given["decision"]
        weights = {"de": {"quiz": 1.0}, "en": {"quiz": 0.25, "sureness": 0.75}}
        assert decision["weights"] == weights[given["language"]]
        assert {one["calibration"] for one in decision["ranking"]} == {"de", "en"}
        [target] = decision["ranking"][0]["targets"]
        assert target["met"] in (True, False)
    assert {given["language"] for given in found["answers"]} == {"de", "en"}
    items = {point.id: point.items() for point in read_study(finished).points}
    [compared] = [
        of for of in found["comparisons"] if (of["language"], of["measure"], of["against"]) == ("de", "quiz", "english")
    ]
    german, english = (items[name]["tasks/quiz/de/acc"].mean() for name in POINTS)
    assert compared["difference"] == pytest.approx(german - english)
    assert compared["test"] == "McNemar's exact test"
    text = markdown_report(summary, [])
    assert "quiz (knowledge; acc; at most 9 items a language)" in text
    assert "quiz is lm-evaluation-harness’s quiz_de (de) and quiz_en (en)." in text
    assert "sureness: in English nobody has said what is scored without a model" in text
    assert "quiz has no data in Swahili" in text


def test_interrupted_or_without_its_data_it_goes_on_to_the_same(finished, world, tmp_path):
    wanted = contents(finished)
    shutil.copytree(finished, tmp_path / "out")
    study, out = world / "study.yaml", tmp_path / "out"
    for name in POINTS:
        shutil.rmtree(out / "points" / name)

    def kill(kind, what):
        if kind == "stage" and what[1].startswith("harness"):
            raise Killed

    with pytest.raises(Killed):
        run(study, out, told=kill)
    data = world / "yaml" / "quiz_en.jsonl"
    data.rename(world / "elsewhere")
    try:
        ends = run(study, out)
    finally:
        (world / "elsewhere").rename(data)
    # The first was pruned and has its own tasks; the second is pruned, and fails where the first does.
    for name in POINTS:
        assert ends[name].startswith("harness: lm-evaluation-harness cannot load quiz_en (FileNotFoundError: ")
        point = json.loads((out / "points" / name / "result.json").read_text(encoding="utf-8"))
        assert (point["status"], len(point["tasks"])) == ("failed", 1)
        assert "traceback" not in point["error"]
    stages = []
    ends = run(study, out, told=lambda kind, what: stages.append(what) if kind == "stage" else None)
    assert ends == dict.fromkeys(POINTS)
    assert {stage for _, stage in stages} == {"harness: likelihoods"}
    assert contents(out) == wanted


def test_what_is_asked_otherwise_is_measured_again(finished, world):
    other = ask(world, world / "other.yaml", quiz={**QUIZ, "limit": 5})
    study = open_study(other, finished, Shard(1, 1))
    found = study.results()
    assert {(of.status, of.error["stage"]) for of in found.values() if of is not None} == {("outdated", "harness")}
    assert len(found) == 3
    assert study.stages(None) == ["harness"]


def test_the_copy_of_a_study_file_finds_its_tasks_and_says_the_same(finished, world, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path / "out")
    (tmp_path / "file").mkdir()
    file = ask(world, tmp_path / "file" / "study.yaml", include="yaml")
    # Like all paths of a study file: from where the command is run, wherever the file lies.
    monkeypatch.chdir(world)
    copy = tmp_path / "out" / "study.yaml"
    shutil.copyfile(file, copy)
    again = [open_study(path, tmp_path / "out", Shard(1, 1)).harness for path in (file, copy)]
    assert all(of is not None and of.missing(("sw",)) == [["quiz", "sw"], ["sureness", "sw"]] for of in again)
    report(tmp_path / "out", overwrite=False)
    assert "quiz_de" in (tmp_path / "out" / "report" / "report.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        RequestError, match=rf"evaluation\.harness\.include: there is no folder {tmp_path}/yaml; name one"
    ):
        open_study(copy, tmp_path / "out", Shard(1, 1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"languages": {"de": "quiz_d"}},
            "tasks.quiz.languages.de: lm-evaluation-harness has no task or group 'quiz_d'",
        ),
        ({"metric": "f1"}, "tasks.quiz.metric: quiz_de has no metric 'f1', only acc; choose acc."),
        ({"filter": "strict"}, "tasks.quiz.filter: quiz_de has no filter 'strict'; choose none"),
        ({"include": "nowhere"}, "include: there is no folder "),
    ],
)
def test_what_can_be_known_is_checked_before_anything_is_pruned(world, tmp_path, changes, words):
    include = changes.get("include")
    quiz = {**QUIZ, **{key: value for key, value in changes.items() if key != "include"}}
    file = ask(world, world / "wrong.yaml", quiz=quiz, include=include, model="/nowhere")
    with pytest.raises(RequestError) as told:
        open_study(file, tmp_path / "out", Shard(1, 1))
    assert str(told.value).startswith(f"{file}: evaluation.harness.{words}")
    assert "\n" not in str(told.value)


def test_without_the_harness_it_says_what_to_install(world, tmp_path, monkeypatch):
    for name in list(sys.modules):
        if name.startswith("jaxprune.harness"):
            monkeypatch.delitem(sys.modules, name)
        elif name.startswith("lm_eval"):
            monkeypatch.setitem(sys.modules, name, None)
    file = ask(world, world / "study.yaml")
    with pytest.raises(RequestError, match=r"evaluation\.harness: .*pip install 'jaxprune\[lm-eval\]'"):
        open_study(file, tmp_path / "out", Shard(1, 1))
