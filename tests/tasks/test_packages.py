"""Tasks whose data come in packages: from made-up records of the same form, and the packages themselves."""

import pytest

from jaxprune.tasks import TASKS, exams, next_sentence, proverbs, sentiment, summarisation
from jaxprune.tasks.articles import Article, sentences


def exam(text, ideal):
    return {"input": [{"role": "system", "content": "Choose."}, {"role": "user", "content": text}], "ideal": ideal}


def test_an_exam_question_is_taken_out_of_its_prompt():
    item = exams.parse(exam("Was ist A?\nEs steht hier:\nA. ein Tier \nB. B. Brecht\nC. 3\nAnswer:", "[B]"), "x")
    assert (item.context, item.choices, item.answer) == (
        "Was ist A?\nEs steht hier:\n",
        ("ein Tier", "B. Brecht", "3"),
        1,
    )


def test_exams_of_other_forms():
    spread = exams.parse(exam("どれか。\na 甲\nア: a\nウ: c\nイ: b\nエ: d", "イ"), "x", exams.IT)
    assert (spread.context, spread.choices, spread.answer) == ("どれか。\na 甲\n", ("a", "c", "b", "d"), 2)
    end = " 回答は必ず半角大文字英語のみ。"
    medical = exams.parse(exam(f"HbA1c 5 %。どれか。A B12B 乙C 丙 D 丁。E DPP-4 薬{end}", "E"), "x", exams.MEDICAL)
    assert (medical.context, medical.choices) == ("HbA1c 5 %。どれか。\n", ("B12", "乙", "丙", "丁。", "DPP-4 薬"))
    radio = exams.parse(exam("Q?\nA. 1 MHz\nB. 2 MHz\nC. 3 MHz\nD. None\n", "D"), "x", exams.RADIO)
    assert (radio.choices[radio.answer], radio.context) == ("None", "Q?\n")


@pytest.mark.parametrize(
    "text",
    [
        "どれか。A A 型B B 型C C 型D D 型E E 型",
        "どれか。A 甲B 乙C 丙D 丁",
        "どれか。A 甲B 乙C 丙D 丁Eい",
        "翌日から   日。どれか。A 甲B 乙C 丙D 丁E 戊",
    ],
)
def test_medical_questions_that_are_not_clear_are_left_out(text):
    assert exams.parse(exam(text, "A"), "x", exams.MEDICAL) is None


@pytest.mark.parametrize(
    ("text", "ideal"),
    [
        ("Q\nA. a\nB. a\nAnswer:", "[A]"),
        ("Q\nA. a\nC. b\nAnswer:", "[A]"),
        ("Q\nA. a\nB. b\nAnswer:", "[C]"),
        ("Q\nA. a\nB. \nAnswer:", "[A]"),
        ("Q", "[A]"),
        ("Q\nA. a\nB. b\nAnswer:", "A or B"),
    ],
)
def test_questions_that_are_not_clear_are_left_out(text, ideal):
    assert exams.parse(exam(text, ideal), "x") is None


def test_reviews_are_labelled_in_their_language():
    reviews = [
        {"input": f" Text {i} ", "target_scores": dict.fromkeys(sentiment.LABELS, 0) | {sentiment.LABELS[i % 4]: 1}}
        for i in range(9)
    ]
    german, chinese = (sentiment.make_items(reviews, language, 6) for language in ("de", "zh"))
    assert [item.id for item in german] == [item.id for item in chinese]
    for item in german:
        number = int(item.id.removeprefix("review-"))
        assert item.answer == number % 4
        assert item.context == f"Bewertung: Text {number}\nStimmung: "
        assert item.choices == ("positiv", "negativ", "neutral", "gemischt")
    assert all(len(set(wording.labels)) == 4 for wording in sentiment.WORDINGS.values())


def test_the_right_proverb_is_not_always_in_one_place():
    made = [
        {"input": f"p{i}", "target_scores": {f"yes{i}": 1.5, f"a{i}": 0, f"b{i}": 0, f"c{i}": 0}} for i in range(40)
    ]
    items = proverbs.make_items(made, "sw", None)
    assert {item.answer for item in items} == {0, 1, 2, 3}
    assert all(item.choices[item.answer] == f"yes{item.id.removeprefix('sw-')}" for item in items)


def test_the_next_sentence_stands_behind_its_context():
    text = " ".join(f"This is the sentence number {i} of the article." for i in range(12))
    items = next_sentence.make_items([Article("a", text, "s")], "en", None)
    assert len(items) == 10
    for item in items:
        right = int(item.id.removeprefix("a-"))
        assert item.context.endswith(f"number {right - 1} of the article. ")
        assert item.choices[item.answer] == f"This is the sentence number {right} of the article."
        wrong = [int(choice.split()[5]) for index, choice in enumerate(item.choices) if index != item.answer]
        assert len(set(wrong)) == 3
        assert all(abs(number - right) >= 4 for number in wrong)


def test_sentences_of_several_scripts():
    assert sentences("Eins. Zwei?  Drei 3.5 m!") == ["Eins.", "Zwei?", "Drei 3.5 m!"]
    assert sentences("一。二！三") == ["一。", "二！", "三"]
    assert sentences("واحد؟ اثنان.") == ["واحد؟", "اثنان."]


def test_a_long_article_is_cut_and_copied_from():
    text = " ".join(f"Sentence {i} tells something." for i in range(200))
    (item,) = summarisation.make_items([Article("a", text, "Short.")], None)
    assert len(item.prompt) < 1600
    assert item.copied == "Sentence 0 tells something. Sentence 1 tells something. Sentence 2 tells something."
    assert item.references == ("Short.",)


@pytest.mark.downloads
@pytest.mark.parametrize(("name", "fewest"), [("exams", 160), ("sentiment", 8000), ("next-sentence", 2000)])
def test_the_real_packages_have_items_in_every_language(name, fewest):
    task = TASKS[name]
    for language in task.languages():
        items = task.items(language, None)
        assert len(items) == len({item.id for item in items}) > fewest
        assert all(0 <= item.answer < len(item.choices) for item in items)


@pytest.mark.downloads
def test_the_real_exams_have_their_right_answers():
    by_id = {language: {item.id: item for item in TASKS["exams"].items(language, None)} for language in ("en", "ja")}
    assert {language: len(items) for language, items in by_id.items()} == {"en": 587, "ja": 162}
    right = {
        (
            "en",
            "en-fcc_amateur_extra-590",
        ): "Localized heating of the body from RF exposure in excess of the MPE limits",
        # Lowering the price to 800 leaves 100 an item for fixed costs of 600,000.
        ("ja", "ja-japanese-itpassport-exam01-12"): "6,000",
        ("ja", "ja-japanese-national-medical-exam01-13"): "入眠時に金縛りにあう。",
        # 20 a day for 32 years.
        ("ja", "ja-japanese-national-medical-exam02-40"): "640",
    }
    for (language, id_), answer in right.items():
        item = by_id[language][id_]
        assert item.choices[item.answer] == answer


@pytest.mark.downloads
def test_the_real_articles_hold_no_pictures():
    for language in TASKS["summarisation"].languages():
        items = TASKS["summarisation"].items(language, None)
        assert len(items) == 152
        assert not any("smallUrl" in item.prompt for item in items)
    for language in TASKS["proverbs"].languages():
        assert len(TASKS["proverbs"].items(language, None)) > 70
