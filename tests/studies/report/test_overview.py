"""The answer in short: one line a language, in which nothing is said that the answer below it does not say."""

import dataclasses

from jaxprune.studies.report.overview import methods_table, overview
from jaxprune.studies.report.summary import summarise
from tests.studies.synthetic import Study, Truth, config, share

LANGUAGES = ("ar", "de", "en")
OWN = Truth(
    nats=lambda mixture, language: 0.3 * (share(mixture, language) > 0),
    points=lambda mixture, language, task: 0.2 * (language == "ar") * share(mixture, language),
    spread=0.002,
)
PAYS = {"measure": "perplexity", "other_languages_lose_at_most": 0.01}


def lines(made, folder, **changed):
    summary = summarise(made.read(folder))
    [setting] = summary.measured.cells
    decisions = tuple(dataclasses.replace(of, **changed) for of in summary.decisions)
    table = overview(dataclasses.replace(summary, decisions=decisions), setting)
    return table.head, {row[0]: dict(zip(table.head, row, strict=True)) for row in table.rows}


def study(*, decision=None, **more):
    return Study(config(LANGUAGES, LANGUAGES, decision=decision or {}, **more), OWN, seed=5)


def test_a_line_has_the_pick_what_it_brings_and_who_pays(tmp_path):
    head, of = lines(study(), tmp_path / "out")
    assert head == ["language", "pick", "beside English", "perplexity", "exams", "who pays"]
    arabic = of["Arabic"]
    assert (arabic["pick"], arabic["beside English"]) == ("ar", "measurably better")
    assert arabic["perplexity"].startswith("\u22122")
    assert arabic["perplexity"].endswith("%")
    assert arabic["exams"].endswith(" points")
    assert arabic["exams"].startswith("+")
    assert arabic["who pays"].startswith("English perplexity +3")
    # Of what chance may explain the size stands in brackets.
    assert of["German"]["exams"].startswith("(")
    assert of["English"] == {
        "language": "English", "pick": "en", "beside English": "is English", "perplexity": "–", "exams": "–",
        "who pays": "–",
    }  # fmt: skip


def test_where_targets_decide_a_line_says_what_would_be_picked_without(tmp_path):
    head, of = lines(study(decision={"targets": [PAYS]}), tmp_path / "out")
    assert head[-2:] == ["targets", "who pays"]
    assert of["Arabic"]["pick"].endswith(" (but for the targets: ar)")
    assert of["Arabic"]["targets"] == "1 held"


def test_what_is_not_certain_of_targets_and_of_english_stands_in_brackets(tmp_path):
    held = {"measure": "perplexity", "worse_than_dense_at_most": 9.0}
    summary = summarise(study(decision={"targets": [held, held | {"worse_than_dense_at_most": 0.0}]}).read(tmp_path))
    [setting] = summary.measured.cells
    [arabic] = [of for of in summary.decisions if of.language == "ar"]
    assert [of.is_met for of in arabic.best.targets] == [True, False]

    def line(certain, **changed):
        best, *others = arabic.candidates
        targets = tuple(dataclasses.replace(of, is_certain=certain) for of in best.targets)
        apart = [dataclasses.replace(of, p_best=1.0, loses_at_least=0.1) for of in others]
        changed["candidates"] = (dataclasses.replace(best, targets=targets), *apart)
        one = dataclasses.replace(summary, decisions=(dataclasses.replace(arabic, **changed),))
        table = overview(one, setting)
        return dict(zip(table.head, table.rows[0], strict=True))

    assert line(True)["targets"] == "1 held, 1 missed"
    assert line(False)["targets"] == "(1 held), (1 missed)"
    held = dataclasses.replace(arabic.best.targets[0], is_certain=True)
    both = dataclasses.replace(arabic.best, targets=(held, dataclasses.replace(held, is_certain=False)))
    one = dataclasses.replace(
        summary, decisions=(dataclasses.replace(arabic, candidates=(both, *arabic.candidates[1:])),)
    )
    table = overview(one, setting)
    assert dict(zip(table.head, table.rows[0], strict=True))["targets"] == "2 held (1 of them not for certain)"
    assert line(True, p_english=1.0)["beside English"] == "(better)"


def test_without_english_numbers_a_line_says_so(tmp_path):
    assert lines(study(), tmp_path / "none", english=None)[1]["German"]["beside English"] == "English was not measured"
    broken = lines(study(), tmp_path / "broken", english=None, is_english_broken=True)[1]["German"]
    assert broken["beside English"] == "English has no numbers"
    assert broken["who pays"] == "–"


def test_methods_stand_side_by_side(tmp_path):
    summary = summarise(study(methods=["wanda", "sparsegpt"]).read(tmp_path / "out"))
    [of] = summary.by_method
    table = methods_table(of)
    assert table.head == ["language", "sparsegpt", "wanda", "measurably less", "the second loses more"]
    assert [row[0] for row in table.rows] == ["Arabic", "German", "English"]
    assert all(" with " in cell for row in table.rows for cell in row[1:3])


def test_of_one_language_nobody_else_can_pay(tmp_path):
    made = Study(config(("de",), ("en", "de"), tasks=()), OWN, seed=5)
    assert lines(made, tmp_path / "out")[1]["German"]["who pays"] == "–"


def test_who_has_no_numbers_is_unknown_and_not_spared(tmp_path):
    made = Study(config(LANGUAGES, LANGUAGES, tasks=()), OWN, seed=5)
    for name, arrays in made.arrays.items():
        if name.startswith("wanda_0.5_de"):
            arrays["perplexity/ar/nats"][:] = float("nan")
    assert lines(made, tmp_path / "out")[1]["German"]["who pays"].endswith("unknown of Arabic")


def test_without_english_calibration_nothing_is_compared_with_it(tmp_path):
    made = Study(config(LANGUAGES, ("ar", "de"), tasks=()), OWN, seed=5)
    summary = summarise(made.read(tmp_path / "out"))
    [setting] = summary.measured.cells
    table = overview(summary, setting)
    assert table.title == "In short: the pick"
    assert table.head == ["language", "pick", "beside English", "who pays"]
    assert {row[2] for row in table.rows} == {"English was not measured"}
