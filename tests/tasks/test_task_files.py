"""Task files: what may stand in them, and what is said of what may not."""

import json
import re

import pytest

from jaxprune.errors import RequestError
from jaxprune.tasks import check_files, check_metric, open_task, parse_tasks
from jaxprune.tasks.items import ChoiceItem, GenerationItem

CHOICE = {"context": "Two and two are", "choices": ["four", "five"], "answer": 0, "language": "en"}
GENERATION = {"prompt": "Guten", "reference": "Morgen", "language": "de"}


def write(tmp_path, *lines):
    path = tmp_path / "mine.jsonl"
    path.write_text(
        "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), encoding="utf-8"
    )
    return f"file:{path}"


def test_choices(tmp_path):
    more = {**CHOICE, "language": "zh", "context": "二加二等于", "choices": ["四", "五"], "separator": "", "answer": 1}
    spaced = [{**CHOICE, "context": "Two and two are "}, {**CHOICE, "choices": [" four", " five"]}]
    task = open_task(write(tmp_path, {**CHOICE, "id": "sum", "note": "mine"}, "", more, *spaced))
    assert (task.kind, task.ability, task.headline) == ("choice", "language", "acc_norm")
    assert task.languages() == ("en", "zh")
    first, second, third = task.items("en", None)
    assert first == ChoiceItem("sum", "Two and two are ", ("four", "five"), 0)
    assert (second.id, second.context) == ("4", "Two and two are ")
    assert (third.context, third.choices) == ("Two and two are", (" four", " five"))
    assert task.items("zh", None) == [ChoiceItem("3", "二加二等于", ("四", "五"), 1)]
    assert task.items("en", None)[:1] == [first]


def test_a_limit_scatters_items_alike_in_every_language(tmp_path):
    lines = [{**CHOICE, "id": f"q{number}", "language": language} for language in "ab" for number in range(40)]
    lines[40:] = reversed(lines[40:])
    task = open_task(write(tmp_path, *lines))
    taken = [[item.id for item in task.items(language, 12)] for language in "ab"]
    assert taken[0] == taken[1]
    assert taken[0] == [item.id for item in task.items("a", 20)][:12]
    # Those at the end of the file are as likely as those at its beginning.
    assert max(int(id_[1:]) for id_ in taken[0]) >= 20
    assert [item.id for item in task.items("a", None)] == [f"q{number}" for number in range(40)]


def test_generation(tmp_path):
    lines = [
        {**GENERATION, "ability": "knowledge", "id": 7},
        {**GENERATION, "ability": "knowledge", "stop": ["!", "."], "max_new_tokens": 5, "idx": 3},
    ]
    lines[1]["reference"] = ["Morgen", "Tag"]
    task = open_task(write(tmp_path, *lines))
    assert (task.kind, task.ability, task.headline) == ("generation", "knowledge", "chrf")
    first, second = task.items("de", None)
    assert first == GenerationItem("7", "Guten", ("Morgen",))
    assert (second.references, second.stop, second.max_new_tokens) == (("Morgen", "Tag"), ("!", "."), 5)


@pytest.mark.parametrize("field", ["context", "choices", "answer", "language"])
def test_a_missing_field_names_file_line_and_field(tmp_path, field):
    incomplete = {key: value for key, value in CHOICE.items() if key != field}
    with pytest.raises(
        RequestError, match=rf"mine\.jsonl, line 3: no field '{field}'; found fields .*language|context"
    ):
        open_task(write(tmp_path, CHOICE, "", incomplete))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"prompt": "a", "language": "de"}, "no field 'reference'"),
        ({**CHOICE, "context": 1}, "'context' is 1; it has to be a text"),
        ({**CHOICE, "choices": "ab"}, "'choices' is \"ab\""),
        ({**CHOICE, "choices": ["a", ""]}, "'choices' is"),
        ({**CHOICE, "choices": ["a"]}, "two or more different"),
        ({**CHOICE, "choices": ["a", "a"]}, "two or more different"),
        ({**CHOICE, "choices": ["a", " a"]}, "two or more different"),
        ({**CHOICE, "choices": ["a", " \u3000\n"]}, "'choices' is .*none of them blank"),
        ({**CHOICE, "language": " "}, "'language' is \" \""),
        ({**CHOICE, "answer": 2}, r"'answer' is 2; .*0 to 1"),
        ({**CHOICE, "answer": -1}, "'answer' is -1"),
        ({**CHOICE, "answer": "0"}, "'answer' is \"0\""),
        ({**CHOICE, "answer": True}, "'answer' is true"),
        ({**CHOICE, "language": ""}, "'language' is \"\""),
        ({**CHOICE, "language": None}, "'language' is null"),
        ({**CHOICE, "ability": "luck"}, "language, knowledge, reasoning"),
        ({**CHOICE, "id": ["a"]}, "'id' is"),
        ({**CHOICE, "id": "first"}, "'id' 'first' is that of line 1"),
        ({**CHOICE, "ability": "knowledge"}, "'ability' is knowledge, and on line 1"),
        (GENERATION, "a generation item, and line 1 has a choice item"),
        (
            '{"context": "\\ud800", "choices": ["a", "b"], "answer": 0, "language": "en"}',
            "'context' is no valid Unicode",
        ),
        ({**CHOICE, "seperator": ""}, "unknown field 'seperator', which looks like 'separator'"),
        ({**CHOICE, "ID": "a"}, "unknown field 'ID', which looks like 'id'"),
        (
            '{"context": "a", "choices": ["a", "b"], "answer": 0, "answer": 1, "language": "en"}',
            "'answer' occurs twice",
        ),
        ("[1]", "a list, not an object"),
        ("{", "no JSON object"),
        ("9" * 5000, "no JSON object"),
    ],
)
def test_wrong_lines(tmp_path, line, said):
    with pytest.raises(RequestError, match=rf"mine\.jsonl, line 2: .*{said}") as refused:
        open_task(write(tmp_path, {**CHOICE, "id": "first"}, line))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": ""},
        {"prompt": " "},
        {"reference": []},
        {"reference": ["a", 1]},
        {"reference": " "},
        {"reference": ["a", "\t"]},
        {"stop": ""},
        {"max_new_tokens": 0},
    ],
)
def test_wrong_generation_lines(tmp_path, changes):
    with pytest.raises(RequestError, match=rf"line 1: '{next(iter(changes))}' is .*it has to be"):
        open_task(write(tmp_path, {**GENERATION, **changes}))


def test_files_without_items(tmp_path):
    with pytest.raises(RequestError, match=r"mine\.jsonl holds no items"):
        open_task(write(tmp_path, ""))
    for name in ("absent.jsonl", "", "."):
        with pytest.raises(RequestError, match="is no file of JSON lines"):
            open_task(f"file:{tmp_path / name}")
    (tmp_path / "latin.jsonl").write_bytes(b"\xff\xff")
    with pytest.raises(RequestError, match="line 1: not UTF-8"):
        open_task(f"file:{tmp_path / 'latin.jsonl'}")


def test_one_file_under_two_names_is_refused(tmp_path):
    name = write(tmp_path, CHOICE)
    (tmp_path / "b").mkdir()
    other = write(tmp_path / "b", CHOICE)
    check_files([name, other, "exams"])
    again = f"file:{tmp_path}/b/../mine.jsonl"
    with pytest.raises(RequestError, match=rf"{re.escape(name)} and {re.escape(again)} are one file"):
        check_files([name, other, again])


def test_unknown_names_list_the_known_ones():
    with pytest.raises(RequestError, match=r"no task 'next-vers'; known: next-verse, .*Did you mean next-verse\?"):
        open_task("next-vers")
    with pytest.raises(RequestError, match=r"no metric 'acc_nrm' of exams; known: acc, acc_norm.*mean acc_norm\?"):
        check_metric("acc_nrm", [open_task("exams")])
    check_metric("acc_norm", [open_task("exams")])
    assert parse_tasks(" exams, next-verse ") == ["exams", "next-verse"]
    with pytest.raises(RequestError, match="more than once"):
        parse_tasks("exams,exams")
    with pytest.raises(RequestError, match="no task was named"):
        parse_tasks(" , ")
