"""Study files: what they may say, and what is said of one that is wrong."""

from pathlib import Path

import pytest

from jaxprune.errors import RequestError
from jaxprune.studies.config.study import load_config
from jaxprune.studies.points.asked import asked_of, stale
from jaxprune.studies.points.grid import all_points

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.yaml"))

SOUND = """\
title: A study
model: org/model
calibration:
  texts: mc4
  samples: 64
  mixtures: [en, no, "de,en", ar=16, {all: "ar,de,en"}]
methods: [wanda, magnitude, {name: sparsegpt, damping: 1e-1}]
patterns: [0.5, 2:4]
seeds: [0, 1]
evaluation:
  languages: [ar, de, en]
  perplexity: {texts: mc4, windows: 8, length: 512}
  tasks: {names: [next-verse]}
decision:
  baselines: {english: en}
  weights: {perplexity: 1, next-verse: 0.5}
  targets:
    - {measure: perplexity, worse_than_dense_at_most: 0.05}
"""


def load(tmp_path, text):
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    return load_config(tmp_path / "study.yaml")


def test_a_study_is_read_as_it_was_meant(tmp_path):
    """Norwegian is no truth value, 2:4 no number of seconds, and 1e-1 a number: YAML 1.1 has all three otherwise."""
    study = load(tmp_path, SOUND)
    mixtures = {mixture.name: study.calibration.sequences(mixture) for mixture in study.calibration.mixtures}
    assert mixtures == {
        "en": {"en": 64},
        "no": {"no": 64},
        "de+en": {"de": 32, "en": 32},
        "ar=16": {"ar": 16},
        "all": {"ar": 22, "de": 21, "en": 21},
    }
    assert study.patterns == ("0.5", "2:4")
    assert [method.label for method in study.methods] == ["wanda", "magnitude", "sparsegpt-damping-0.1"]
    assert study.calibration.length == 2048
    assert study.evaluation.perplexity is not None
    assert study.evaluation.perplexity.windows == 8
    assert study.evaluation.snr is None
    assert study.decision.targets[0].worse_than_dense_at_most == 0.05
    assert study.keep == "masks"


def test_published_parameters_are_no_other_method(tmp_path):
    text = SOUND.replace("damping: 1e-1", "damping: 0.01, combine: sum")
    assert [method.label for method in load(tmp_path, text).methods][2] == "sparsegpt"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("windows", "window", "evaluation.perplexity.window: unknown key (did you mean windows?)"),
        ("methods: [", "metods: [", "metods: unknown key (did you mean methods?)"),
        ("model: org/model\n", "", "model: is missing"),
        ("[0, 1]", "[0, 0]", "seeds[1]: 0 is there already"),
        ("[0, 1]", "[0, -1]", "seeds[1]: is -1, and should be greater than or equal to 0"),
        ("[0, 1]", "[0, 1.5]", "seeds[1]: is 1.5, and should be a valid integer"),
        ("[0, 1]", "0", "seeds: should be a list, in brackets, and is 0"),
        ("[0, 1]", "[]", "seeds: is empty"),
        ("title: A study", "title: A\ntitle: B", "line 2, column 1: the key 'title' occurs twice, first in line 1"),
        ("[0.5, 2:4]", "[0.5, 2:4", "line 9"),
        ("[0.5, 2:4]", "[0.5, 7:4]", "patterns[1]: pattern 7:4 is not possible"),
        ("[0.5, 2:4]", "[0.5, 0.50]", "patterns[1]: '0.5' is there already"),
        ("[0.5, 2:4]", "[0.5, true]", "patterns[1]: True is no pattern"),
        ("no,", "en,", "calibration.mixtures[1]: en is the same as an earlier one"),
        ("ar=16", '"ar=16,de"', "calibration.mixtures[3]: the mixture 'ar=16,de' is not understood"),
        ("all:", "../all:", "calibration.mixtures[4]: the name '../all' cannot be part of a file's name"),
        ("mixtures: [", "mixtures: #[", "calibration.mixtures: should be a list, in brackets, and is empty"),
        ('"ar,de,en"}', "{ar: 3, de: 1}}", "calibration.mixtures[4]: should be written as text, {all: 'ar=3,de=1'},"),
        ('"ar,de,en"}', "64}", "calibration.mixtures[4]: should be written as text, all=64, and is {all: 64}"),
        (
            "next-verse: 0.5", "exams: 0.5",
            "decision.weights: exams is not measured; name it under evaluation.tasks, or one of perplexity, next-verse",
        ),
        ("[wanda,", "[wnda,", "methods[0].name: there is no method 'wnda' (did you mean wanda?)"),
        ("[wanda,", "[wanda, {name: wanda, combine: sum},", "methods[1]: 'wanda' is there already"),
        ("damping", "dampening", "methods[2].dampening: unknown key (did you mean damping?)"),
        ("english: en", "english: fr", "decision.baselines.english: there is no mixture 'fr'"),
        ("measure: perplexity", "measure: perplexty", "decision.targets[0].measure: there is no measure 'perplexty'"),
        ("next-verse: 0.5", "next-vrse: 0.5", "decision.weights: there is no measure 'next-vrse'"),
        ("perplexity: 1, next-verse: 0.5", "perplexity: 0", "decision.weights: are all 0, so nothing decides"),
        ("next-verse: 0.5", "next-verse: -1", "decision.weights.next-verse: is -1"),
        ("_at_most: 0.05", "_at_most: 0.05, other_languages_lose_at_most: 1", "decision.targets[0]: should have one"),
        ("  texts: mc4\n", "  texts: tokens:x.npy\n", "calibration.texts: tokens:x.npy has no languages"),
        ("title: A", "dtype: bfloat\ntitle: A", "dtype: is 'bfloat' (did you mean bfloat16?)"),
        ("title: A", "mesh: data=x\ntitle: A", "mesh: 'data=x': cannot read"),
        ("[ar, de, en]", "[ar, d e]", "evaluation.languages[1]: 'd e' is no code of a language"),
        ("length: 512", "length: 512.0", "evaluation.perplexity.length: is 512.0"),
        ("title: A study", "[]", "line 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_in_one_line(tmp_path, old, new, words):
    assert old in SOUND
    with pytest.raises(RequestError) as error:
        load(tmp_path, SOUND.replace(old, new))
    message = str(error.value)
    assert words in message
    assert str(tmp_path / "study.yaml") in message
    assert "\n" not in message
    assert "more after this" not in message


def test_a_task_may_be_asked_in_some_languages_only(tmp_path):
    everywhere = load(tmp_path, SOUND)
    assert everywhere.evaluation.languages_of("next-verse") == ("ar", "de", "en")
    # What results from before there was such a key remember is not outdated by it.
    assert "only" not in asked_of(everywhere, is_dense=True)["tasks"]
    some = load(tmp_path, SOUND.replace("{names: [next-verse]}", "{names: [next-verse], only: {next-verse: [de, ar]}}"))
    assert some.evaluation.languages_of("next-verse") == ("de", "ar")
    had = {"asked": asked_of(everywhere, is_dense=True)}
    assert stale(had, asked_of(some, is_dense=True)) == ["tasks"]
    # In another order the same is asked.
    other = SOUND.replace("{names: [next-verse]}", "{names: [next-verse], only: {next-verse: [ar, de]}}")
    again = load(tmp_path, other)
    assert stale({"asked": asked_of(some, is_dense=True)}, asked_of(again, is_dense=True)) == []


@pytest.mark.parametrize(
    ("only", "words"),
    [
        ("{next-verse: [sw]}", "tasks.only.next-verse.sw: is none of evaluation.languages (ar, de, en)"),
        ("{next-vers: [de]}", "tasks.only: there is no task in names 'next-vers' (did you mean next-verse?)"),
        ("{next-verse: []}", "tasks.only.next-verse: is empty"),
        ("{next-verse: [de, en, de]}", "tasks.only.next-verse[2]: 'de' is there already; name each once"),
    ],
)
def test_languages_of_a_task_that_cannot_be_are_named(tmp_path, only, words):
    with pytest.raises(RequestError) as error:
        load(tmp_path, SOUND.replace("{names: [next-verse]}", f"{{names: [next-verse], only: {only}}}"))
    assert words in str(error.value)


HARNESS = """\
  tasks: {names: [next-verse]}
  harness:
    limit: 500
    tasks:
      quiz: {metric: acc, ability: knowledge, languages: {de: quiz_deu, no: quiz_nob}, limit: 20}
      other: {metric: f1, filter: strict, ability: reasoning, languages: {en: other_en}}
"""


def test_tasks_of_the_harness_are_measures_beside_ours(tmp_path):
    text = SOUND.replace("  tasks: {names: [next-verse]}\n", HARNESS).replace("[ar, de, en]", "[no, de, en]")
    study = load(tmp_path, text.replace("next-verse: 0.5", "quiz: 0.5"))
    assert study.evaluation.measures == ("perplexity", "next-verse", "quiz", "other")
    assert study.evaluation.harness is not None
    assert study.evaluation.harness.tasks["quiz"].languages == {"de": "quiz_deu", "no": "quiz_nob"}
    assert study.evaluation.harness.tasks["other"].filter == "strict"
    assert [study.evaluation.limit_of(name) for name in ("next-verse", "quiz", "other")] == [None, 20, 500]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("no: quiz_nob", "sw: quiz_swh", "tasks.quiz.languages.sw: is none of evaluation.languages (no, de, en)"),
        ("quiz:", "exams:", "tasks.exams: is a task of jaxprune's own; call it otherwise"),
        ("quiz:", "perplexity:", "tasks.perplexity: is a measure of jaxprune's own; call it otherwise"),
        ("quiz:", "knowledge:", "tasks.knowledge: is a measure of jaxprune's own; call it otherwise"),
        ("quiz:", "a/b:", "tasks.a/b: is no name of a task; use letters, digits"),
        ("{de: quiz_deu, no: quiz_nob}", "{}", "tasks.quiz.languages: is empty"),
        ("metric: acc", "metrik: acc", "tasks.quiz.metrik: unknown key (did you mean metric?)"),
        ("ability: knowledge", "ability: maths", "tasks.quiz.ability: is 'maths'"),
        ("limit: 500", "limit: 0", "limit: is 0, and should be greater than or equal to 1"),
    ],
)
def test_what_is_wrong_of_the_harness_is_named_with_its_place(tmp_path, old, new, words):
    text = SOUND.replace("  tasks: {names: [next-verse]}\n", HARNESS.replace(old, new)).replace("[ar, de", "[no, de")
    with pytest.raises(RequestError) as error:
        load(tmp_path, text)
    assert f"study.yaml: evaluation.harness.{words}" in str(error.value)
    assert "\n" not in str(error.value)


def test_how_much_more_is_wrong_is_counted(tmp_path):
    with pytest.raises(RequestError, match=r"seeds\[0\]: is -1, and should be [^(]*\.$"):
        load(tmp_path, SOUND.replace("[0, 1]", "[-1]"))
    with pytest.raises(RequestError, match=r"\(1 more after this\)$"):
        load(tmp_path, SOUND.replace("[0, 1]", "[-1]").replace("title: A study", "title: 1"))


def test_a_file_that_is_not_there_is_not_to_be_fetched(tmp_path):
    with pytest.raises(RequestError, match=r"absent\.yaml is needed and is not there .*; name one that is"):
        load_config(tmp_path / "absent.yaml")


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words", "a: &x [*x]\n", "a: !!python/object:os.system {}\n"])
def test_what_is_no_study_is_refused(tmp_path, text):
    with pytest.raises(RequestError, match=r"study\.yaml"):
        load(tmp_path, text)


def test_measuring_nothing_is_refused(tmp_path):
    lines = [line for line in SOUND.splitlines() if "perplexity" not in line and "tasks" not in line]
    text = "\n".join(lines).replace("  targets:", "")
    with pytest.raises(RequestError, match="evaluation: nothing is measured"):
        load(tmp_path, text)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_study_that_comes_with_the_project_is_sound(path):
    study = load_config(path)
    points = all_points(study)
    assert len({point.id for point in points}) == len(points)
    # Its comment says how many there are.
    assert f"{len(points)} points" in path.read_text(encoding="utf-8")
    assert f"configs/{path.name}" in path.read_text(encoding="utf-8")
    assert study.decision.baselines.english is not None


def test_all_of_the_studies_are_looked_at():
    assert {path.stem for path in CONFIGS} == {
        "aya23_35b", "aya23_8b", "gemma3_270m", "gemma3_270m_small", "japanese", "llama3_70b",
        "llama3_8b", "quick", "qwen2.5_0.5b", "sample_count",
    }  # fmt: skip
