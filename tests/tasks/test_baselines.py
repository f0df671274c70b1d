"""What is reached without a model, and how text is scored."""

import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import sentence_chrf

from jaxprune.errors import RequestError
from jaxprune.tasks.baselines import choice_baselines, generation_baselines, retrieval_baselines
from jaxprune.tasks.items import ChoiceItem, GenerationItem, RetrievalPair
from jaxprune.tasks.text_scores import check_installed, score_text
from jaxprune.tasks.words import words


def test_choices_by_chance_majority_and_overlap():
    items = [
        ChoiceItem("1", "Paul went to Rome, and", ("Paul saw Rome.", "she slept", "it rained", "Paul ate"), 0),
        ChoiceItem("2", "Anna said", ("no", "Anna, said she"), 0),
        ChoiceItem("3", "nothing here", ("a", "b"), 1),
    ]
    found = choice_baselines(items)
    assert found["chance"] == pytest.approx((1 / 4 + 1 / 2 + 1 / 2) / 3)
    assert found["majority"] == pytest.approx(2 / 3)
    # The first by its words, the second not, the third a guess among two.
    assert found["overlap"] == pytest.approx((1 + 0 + 1 / 2) / 3)


def test_overlap_counts_characters_where_words_have_no_spaces():
    item = ChoiceItem("1", "彼は山に行った。", ("川で泳いだ", "山を見た"), 1)
    assert choice_baselines([item])["overlap"] == 1


def test_retrieval_by_shared_names():
    pairs = [
        RetrievalPair("1", "Paulus ging nach Rom 12", "Rom 12 was where he went"),
        RetrievalPair("2", "Anna schlief", "Anna slept"),
        RetrievalPair("3", "ohne", "without"),
    ]
    assert retrieval_baselines(pairs) == {"chance": 1 / 3, "overlap": pytest.approx((1 + 1 + 1 / 3) / 3)}


def test_copying_is_scored_where_all_items_say_what_to_copy():
    items = [GenerationItem("1", "p", ("Paul went",), copied="Paul ging"), GenerationItem("2", "p", ("a",), copied="a")]
    expected = (sentence_chrf("Paul ging", ["Paul went"]).score / 100 + 1) / 2
    assert generation_baselines(items, "chrf") == {"copy": pytest.approx(expected)}
    assert generation_baselines([*items, GenerationItem("3", "p", ("a",))], "chrf") == {}


def test_scores_are_those_of_their_libraries_and_the_nearest_reference_counts():
    text, references = "The cat sat on a mat.", ["A dog lay there.", "The cat is on the mat."]
    found = score_text(text, references)
    rouge = RougeScorer(["rouge1", "rougeL"]).score(references[1], text)
    assert found["chrf"] == pytest.approx(sentence_chrf(text, references[1:]).score / 100)
    assert found["rouge1"] == pytest.approx(rouge["rouge1"].fmeasure)
    assert found["rougeL"] == pytest.approx(rouge["rougeL"].fmeasure)
    assert found["exact_match"] == 0
    assert score_text(" the CAT is  on the mat. ", references)["exact_match"] == 1


@pytest.mark.parametrize("text", ["قال له بولس", "Он сказал ему", "彼に言った", "उसने उससे कहा"])
def test_other_scripts_are_scored(text):
    assert score_text(text, [text]) == {"chrf": 1, "rouge1": 1, "rougeL": 1, "exact_match": 1}
    assert set(score_text(" \n", [text]).values()) == {0}


def test_words_of_several_scripts():
    assert words("Élan, l'été—3,5 ÜBER") == ["élan", "l", "été", "3", "5", "über"]
    assert words("हिन्दी में।") == ["हिन्दी", "में"]
    assert words("彼はJAXで12個") == ["彼", "は", "jax", "で", "12", "個"]
    assert words("，。!") == []


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"sacrebleu and rouge-score.*jaxprune\[tasks\]"):
        check_installed()
