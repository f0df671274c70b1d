"""The commands that the README shows, run in its order with a tiny model and generated text in place of the samples."""

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.cli.run import run

README = Path(__file__).parents[2] / "README.md"


def commands() -> list[list[str]]:
    """Returns the words of every ``jaxprune`` command in an indented block, continued lines joined."""
    text = README.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^ {4}(jaxprune .*)$", text, re.MULTILINE)
    return [shlex.split(line)[1:] for line in lines]


def test_they_work(capsys, tmp_path, monkeypatch, tiny, texts):
    monkeypatch.chdir(tmp_path)
    shown = commands()
    assert [words[0] for words in shown[:2]] == ["prune", "perplexity"]
    for words in shown:
        if any(word.startswith("meta-llama/") for word in words):
            continue
        words = [str(tiny) if word.startswith(("sample:", "llama-3-")) else word for word in words]
        words = [texts if word == "sample" else word for word in words]
        words = ["16" if before == "--length" else word for before, word in zip(["", *words], words, strict=False)]
        words = [small_study(word, tiny, texts) if word.startswith("configs/") else word for word in words]
        words = [own_task() if "file:" in word else word for word in words]
        if words[0] == "analyze":
            # Windows as short as these have to be many; the sample of parallel sentences would have to be fetched.
            words += ["--windows", "80", "--sentences", "none"]
        done = run(capsys, *words)
        assert done.status == 0, done.err


def small_study(config, tiny, texts):
    """Returns the path of that study file with what the tests have in the places of the samples."""
    content = (README.parent / config).read_text(encoding="utf-8")
    for theirs, ours in (
        ("sample:gemma3-270m", tiny),
        ("texts: sample", f"texts: {texts}"),
        ("length: 256", "length: 16"),
    ):
        assert theirs in content
        content = content.replace(theirs, str(ours))
    Path("study.yaml").write_text(content, encoding="utf-8")
    return "study.yaml"


def own_task():
    """Returns a task file of three languages; the others of the command have to be fetched."""
    item = {"context": "a", "choices": [" b", " c"], "answer": 1}
    lines = [json.dumps({**item, "language": language}) for language in ("de", "en", "sw")]
    Path("mine.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return "file:mine.jsonl"


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words[:3]))
def test_every_option_exists(capsys, words):
    # Of a group of commands, the help of the one that is meant.
    help_ = run(capsys, *words[: 1 + (words[0] == "analyze")], "--help").out
    for option in (word for word in words if word.startswith("--")):
        assert option in help_


def test_the_table_names_every_method_and_family(capsys):
    from jaxprune.models import FAMILIES
    from jaxprune.pruning import METHODS

    text = README.read_text(encoding="utf-8")
    for name in FAMILIES:
        assert f"`{name}`" in text
    for name in METHODS:
        assert name in text.lower()


def test_nothing_is_left_to_fill_in():
    assert not re.search(r"@[A-Z_]+@", README.read_text(encoding="utf-8"))
