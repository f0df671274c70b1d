"""What a study asks of tasks and texts that they do not have is said before anything is opened or fetched."""

import json
from pathlib import Path

import pytest
import yaml

from jaxprune.errors import RequestError
from jaxprune.jobs.evaluate import prepare_tasks
from jaxprune.jobs.study_coverage import count_items, describe_gaps, items_here, missing_languages
from jaxprune.jobs.study_inputs import check_inputs
from jaxprune.studies.config.study import load_config
from jaxprune.tasks import TASKS

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.fixture(autouse=True)
def nothing_is_fetched(monkeypatch, tmp_path):
    """An empty cache, and no way to fill it."""

    def refuse(*args, **kwargs):
        raise AssertionError("something was to be downloaded")

    monkeypatch.setenv("JAXPRUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("jaxprune.wheels.download_archive", refuse)
    monkeypatch.setattr("jaxprune.data.huggingface._reach_hub", refuse)


def ask(tmp_path, *, languages=("de", "sw"), mixtures=("de",), texts="sample", decision=None, **evaluation):
    """Returns a study file that measures perplexity, unless it is said what else."""
    study = {
        "title": "Tiny",
        "model": "/nowhere",
        "calibration": {"texts": texts, "mixtures": list(mixtures)},
        "methods": ["wanda"],
        "patterns": [0.5],
        "evaluation": {"languages": list(languages), **(evaluation or {"perplexity": {"texts": "sample"}})},
        "decision": decision or {},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    return tmp_path / "study.yaml"


def check(file):
    return check_inputs(file, load_config(file))


def questions(path, *languages):
    lines = [
        {"context": str(number), "choices": ["a", "b"], "answer": 0, "language": language}
        for language in languages
        for number in range(5)
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return f"file:{path}"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_study_that_comes_with_the_project_asks_for_what_there_is(path):
    check(path)
    config = load_config(path)
    assert not any("nothing can be decided" in gap for gap in describe_gaps(config))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"tasks": {"names": ["next-verse", "exams"]}, "languages": ["sw", "th"]},
            "evaluation.tasks.names[1]: exams was asked for in sw, th, and has items in ar, bg, ",
        ),
        (
            {"tasks": {"names": ["proverbs"]}, "languages": ["de", "ar"]},
            "evaluation.languages[1]: nothing would be measured in ar: proverbs has de, ru, sw; leave the language out",
        ),
        ({"mixtures": ["de", "de,th"]}, "calibration.texts: sample has no th; it has ar, "),
        (
            {"perplexity": {"texts": "sample"}, "languages": ["de", "hu"]},
            "evaluation.perplexity.texts: sample has no hu; it has ar, ",
        ),
        ({"snr": {"texts": "sample"}, "languages": ["hu"]}, "evaluation.snr.texts: sample has no hu; it has ar, "),
    ],
)
def test_what_no_language_that_is_asked_for_has_is_refused_in_one_line(tmp_path, change, words):
    file = ask(tmp_path, **change)
    with pytest.raises(RequestError) as refused:
        check(file)
    assert str(refused.value).startswith(f"{file}: {words}")
    assert "\n" not in str(refused.value)
    assert "--" not in str(refused.value)


def test_a_task_of_generated_text_needs_what_scores_it(tmp_path, monkeypatch):
    file = ask(tmp_path, tasks={"names": ["summarisation"]}, languages=["de"])
    check(file)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"evaluation\.tasks\.names\[0\]: .*jaxprune\[tasks\]"):
        check(file)


def test_a_file_under_two_names_is_refused(tmp_path):
    own = questions(tmp_path / "own.jsonl", "de")
    file = ask(tmp_path, tasks={"names": [own, f"file:{tmp_path}/../{tmp_path.name}/own.jsonl"]}, languages=["de"])
    with pytest.raises(RequestError, match=r"evaluation\.tasks\.names: .* are one file"):
        check(file)


def test_text_that_no_method_looks_at_need_not_have_the_languages(tmp_path):
    file = ask(tmp_path, mixtures=["th"])
    asked = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**asked, "methods": ["magnitude"]}))
    check(file)


def test_gaps_in_single_languages_are_told(tmp_path):
    own = questions(tmp_path / "own.jsonl", "de", "ar")
    file = ask(
        tmp_path,
        languages=["de", "ar", "sw"],
        texts="mc4",
        perplexity={"texts": "mc4"},
        tasks={"names": [own, "exams", "next-verse"]},
        decision={"weights": {"exams": 1, own: 2, "next-verse": 0}},
    )
    check(file)
    config = load_config(file)
    assert missing_languages(config) == {own: ["sw"], "exams": ["sw"]}
    assert describe_gaps(config) == [
        f"{own} has no data in sw: left out there.",
        "exams has no data in sw: left out there.",
        f"Nothing that decision.weights weighs (exams, {own}) is measured in sw: nothing can be decided there.",
        "Whether mc4 has the languages, the hub tells at the start.",
    ]


def test_a_task_that_is_asked_in_some_languages_only_is_missed_in_no_other(tmp_path):
    own = questions(tmp_path / "own.jsonl", "de", "ar")
    asked = {"names": [own, "exams"], "only": {own: ["ar"], "exams": ["de", "sw"]}}
    decision = {"weights": {own: 1}}
    file = ask(tmp_path, languages=["de", "ar", "sw"], tasks=asked, perplexity={"texts": "sample"}, decision=decision)
    check(file)
    config = load_config(file)
    assert missing_languages(config) == {"exams": ["sw"]}
    assert describe_gaps(config) == [
        "exams has no data in sw: left out there.",
        f"Nothing that decision.weights weighs ({own}) is measured in de, sw: nothing can be decided there.",
    ]
    assert count_items(items_here(config)) == {own: {"ar": 5}, "exams": {"de": None}}
    prepared = prepare_tasks([own], ["de", "ar"], lambda name: None, only={own: ["ar"]})
    assert (prepared.missing, {name: list(of) for name, of in prepared.items.items()}) == ([], {own: ["ar"]})
    with pytest.raises(RequestError, match=r"nothing would be measured in de: .* has ar, de and is asked in ar alone"):
        check(ask(tmp_path, languages=["ar", "de"], tasks={"names": [own], "only": {own: ["ar"]}}))


def test_items_are_counted_where_they_are(tmp_path):
    own = questions(tmp_path / "own.jsonl", "de", "ar")
    file = ask(tmp_path, languages=["de", "ar"], tasks={"names": [own, "exams"], "limits": {own: 3}})
    config = load_config(file)
    assert count_items(items_here(config)) == {own: {"de": 3, "ar": 3}, "exams": {"de": None, "ar": None}}
    assert not any(task.is_cached() for task in TASKS.values())
