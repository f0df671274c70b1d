"""``jaxprune analyze subspaces``: numbers, tables, figures, and what cannot be compared."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from jaxprune import hidden_states
from jaxprune.cli.analyze_subspaces import tables
from tests.cli.conftest import WORDS
from tests.cli.run import run
from tests.studies import made_analyses
from tests.tiny import write_tiny_checkpoint


@pytest.fixture(scope="module")
def long_texts(tmp_path_factory):
    """Enough text in each language for a thousand tokens of evaluation."""
    folder = tmp_path_factory.mktemp("long-texts")
    rng = np.random.default_rng(1)
    for language, words in WORDS.items():
        lines = [json.dumps({"text": " ".join(rng.choice(words.split(), 60))}) for _ in range(400)]
        (folder / f"{language}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return f"files:{folder}"


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    path = tmp_path_factory.mktemp("sentences") / "parallel.jsonl"
    rng = np.random.default_rng(2)
    lines = []
    for _ in range(14):
        places = rng.integers(0, 12, 8)
        lines.append(json.dumps({code: " ".join(np.array(words.split())[places]) for code, words in WORDS.items()}))
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return f"file:{path}"


@pytest.fixture(scope="module")
def pruned(tmp_path_factory, tiny):
    from jaxprune.cli.app import main

    out = tmp_path_factory.mktemp("pruned")
    for pattern in ("0.5", "0"):
        with pytest.raises(SystemExit) as exit_:
            main(["prune", str(tiny), str(out / pattern), "--method", "magnitude", "--pattern", pattern])
        assert not exit_.value.code
    return out


def asked(texts, *more):
    return ["--texts", texts, "--languages", "de,en,sw", "--length", "64", "--windows", "16", *more]


def test_all_numbers_and_figures(capsys, tmp_path, tiny, pruned, long_texts, sentences):
    models = [str(tiny), str(pruned / "0.5"), str(pruned / "0")]
    out = tmp_path / "subspaces"
    done = run(
        capsys,
        "analyze",
        "subspaces",
        *models,
        *asked(long_texts, "--sentences", sentences, "--out", str(out), "--json"),
    )
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found == json.loads((out / "subspaces.json").read_text(encoding="utf-8"))
    assert found["languages"] == ["de", "en", "sw"]
    assert found["rank"] == 2
    assert found["sentences"] == {"de": 14, "en": 14, "sw": 14}
    dense, half, whole = found["models"]
    assert [model["reference"] for model in found["models"]] == models
    assert dense["label"] == "dense"
    # Pruned at 0%: the same numbers, and no change.
    for was, now, changed in zip(dense["blocks"], whole["blocks"], half["blocks"], strict=True):
        assert now["energy"] == was["energy"]
        assert now["sentences"] == was["sentences"]
        assert {value for parts in now["change"]["snr_db"].values() for value in parts.values()} == {None}
        assert now["change"]["squared_cosine"] == pytest.approx(1, abs=1e-12)
        assert all(5 < parts["whole"] < 40 for parts in changed["change"]["snr_db"].values())
        assert changed["change"]["squared_cosine"] < 0.999
        # Halves of the text give directions that their squared cosines are of.
        cosines = np.cos(np.radians(was["stability_angles"]))
        assert np.mean(cosines**2) == pytest.approx(was["stability"])
    for model in found["models"]:
        checks = [block["sentences"] for block in model["blocks"]]
        for of in checks:
            agnostic, whole = (np.mean(list(of["retrieval"][part].values())) for part in ("agnostic", "whole"))
            assert of["retrieval_gain"]["value"] == pytest.approx(agnostic - whole)
        gain = model["retrieval_gain"]
        assert gain["value"] == pytest.approx(np.mean([of["retrieval_gain"]["value"] for of in checks]))
        assert gain["items"] == 14
        assert gain["interval"][0] <= gain["value"] <= gain["interval"][1]
    for name in ("specific-share", "subspaces", "angles", "alignment-between-languages", "alignment-of-pairs"):
        with Image.open(out / f"{name}.png") as image:
            assert image.width > 500


def test_states_past_the_memory_that_is_given_are_in_a_file(capsys, monkeypatch, tiny, pruned, long_texts):
    taken = []
    original = hidden_states._map_file
    monkeypatch.setattr(hidden_states, "_map_file", lambda size: taken.append(size) or original(size))
    words = ["analyze", "subspaces", tiny, pruned / "0.5", *asked(long_texts, "--sentences", "none", "--json")]
    in_memory = json.loads(run(capsys, *words).out)
    assert not taken
    # Two models share them: the states of either are just larger than half.
    gigabytes = 3 * 16 * 64 * in_memory["hidden_size"] * 4 * 1.9 / 1e9
    in_file = json.loads(run(capsys, *words, "--host-memory", f"{gigabytes:.9f}").out)
    assert len(taken) == 2
    assert in_file["models"] == in_memory["models"]


def test_tables_for_a_reader(capsys, tiny, pruned, long_texts):
    done = run(capsys, "analyze", "subspaces", tiny, pruned / "0.5", *asked(long_texts, "--sentences", "none"))
    assert done.status == 0, done.err
    assert "subspace kept" in done.out
    assert "angles" in done.out
    assert re.search(r"\d to \d+°", done.out)
    assert "alignment of" not in done.out
    assert "retrieval" not in done.out


def test_what_was_not_changed_is_said_in_the_table():
    found = made_analyses.subspaces()
    for parts in found["models"][1]["blocks"][0]["change"]["snr_db"].values():
        parts.update(dict.fromkeys(parts))
    _, pruned, _ = tables(found)
    assert str(pruned.title) == "en · wanda, mean over languages\nspecific: 2 of 640 directions, 0.3%"
    told = {re.sub(r"\s+", " ", str(column.header)): list(map(str, column.cells)) for column in pruned.columns}
    assert told["SNR agnostic (dB)"] == told["SNR specific (dB)"] == ["no change"] * 3
    assert told["angles"] == ["5 to 8°"] * 3
    assert told["alignment of languages"] == ["0.733"] * 3


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--languages", "de"], "name two or more with --languages"),
        (["--rank", "3"], "give --rank a number from 1 to 2"),
        (["--windows", "3"], "3 windows of 64 tokens are 189 for each language, and fewer than 1000"),
        (["--languages", "de,fr"], "fr"),
        (["--sentences", "verses"], "names no parallel sentences"),
    ],
)
def test_one_line_says_what_to_do(capsys, tiny, long_texts, more, words):
    done = run(capsys, "analyze", "subspaces", tiny, *asked(long_texts, "--sentences", "none"), *more)
    assert done.status == 2
    assert words in done.err
    assert done.err.strip().count("\n") <= 1


@pytest.mark.parametrize("command", ["subspaces", "neurons", "all"])
@pytest.mark.parametrize("texts", ["sample", "generated"])
def test_a_language_without_text_is_named_and_no_option_blamed_for_it(
    capsys, tmp_path, tiny, long_texts, monkeypatch, command, texts
):
    monkeypatch.setattr("jaxprune.tasks.parallel.task_verses", lambda: pytest.fail("sentences were read first"))
    source = "sample" if texts == "sample" else long_texts
    languages = ["--languages", "de,xx,en,yy"]
    done = run(capsys, "analyze", command, tiny, *asked(source), *languages, "--out", tmp_path / "out")
    assert done.status == 2
    known = "ar, " if texts == "sample" else "de, en, sw; "
    assert done.err.startswith(f"error: {source} has no xx, yy; it has {known}")
    assert "ask for what it has, or name another source with --texts" in done.err
    assert "--sentences" not in done.err
    assert done.err.strip().count("\n") == 0


def test_token_ids_have_no_languages(capsys, tmp_path, tiny):
    np.save(tmp_path / "ids.npy", np.ones((20, 64), np.int32))
    done = run(capsys, "analyze", "subspaces", tiny, *asked(f"tokens:{tmp_path / 'ids.npy'}"))
    assert done.status == 2
    assert "has no languages" in done.err


def test_another_shape_is_refused(capsys, tmp_path, tiny, long_texts):
    other = tmp_path / "other"
    write_tiny_checkpoint(other, "qwen2", seed=1)
    done = run(capsys, "analyze", "subspaces", tiny, other, *asked(long_texts, "--sentences", "none"))
    assert done.status == 2
    assert "the first is a llama model and the second a qwen2 model" in done.err
