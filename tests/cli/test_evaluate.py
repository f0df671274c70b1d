"""``jaxprune evaluate``: scores against transformers', the JSON's shape, tables, and what is refused."""

import json

import numpy as np
import pytest
import torch
import transformers

from jaxprune.evaluation.intervals import proportion_interval
from tests.cli.conftest import WORDS
from tests.cli.run import run
from tests.tasks.bible import write_bible
from tests.tiny import BOS, write_tiny_checkpoint


def sentence(rng, language, length):
    return " ".join(rng.choice(WORDS[language].split(), length))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Choices and prompts in two languages."""
    folder = tmp_path_factory.mktemp("tasks")
    rng = np.random.default_rng(0)
    choices = [
        {
            "id": f"{language}{i}",
            "context": sentence(rng, language, 2 + i),
            "choices": [sentence(rng, language, 1 + j) for j in range(2 + i % 2)],
            "answer": int(rng.integers(2)),
            "language": language,
            "ability": "knowledge",
        }
        for language in ("de", "sw")
        for i in range(7)
    ]
    prompts = [
        {"prompt": sentence(rng, "de", 3), "reference": [sentence(rng, "de", 4), "und"], "language": "de"}
        for _ in range(3)
    ]
    for name, lines in (("choices", choices), ("prompts", prompts)):
        text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def theirs(tiny):
    return transformers.AutoModelForCausalLM.from_pretrained(tiny).eval(), transformers.AutoTokenizer.from_pretrained(
        tiny
    )


def log_likelihood(theirs, context, choice):
    model, tokenizer = theirs
    before = tokenizer(context, add_special_tokens=False)["input_ids"]
    whole = tokenizer(context + choice, add_special_tokens=False)["input_ids"]
    assert whole[: len(before)] == before
    tokens = torch.tensor([[BOS, *whole]])
    with torch.no_grad():
        log_probabilities = torch.log_softmax(model(tokens).logits.double(), -1)[0, :-1]
    picked = log_probabilities.gather(1, tokens[0, 1:, None])[:, 0]
    return float(picked[len(before) :].sum())


def test_choices_are_those_of_transformers(capsys, tmp_path, tiny, files, theirs):
    task = f"file:{files / 'choices.jsonl'}"
    asked = ["--tasks", task, "--languages", "de,xx,sw", "--items", tmp_path / "items.jsonl", "--json"]
    done = run(capsys, "evaluate", tiny, *asked)
    assert done.status == 0, done.err
    assert "no items in xx" in " ".join(done.err.split())
    found = json.loads(done.out)
    assert found["model"] == str(tiny)
    assert found["missing"] == [[task, "xx"]]
    of_task = found["tasks"][task]
    assert {key: of_task[key] for key in ("ability", "kind", "headline")} == {
        "ability": "knowledge", "kind": "choice", "headline": "acc_norm",
    }  # fmt: skip
    assert list(of_task["languages"]) == ["de", "sw"]
    items = [json.loads(line) for line in (files / "choices.jsonl").read_text().splitlines()]
    written = {line["id"]: line for line in map(json.loads, (tmp_path / "items.jsonl").read_text().splitlines())}
    assert list(written) == [item["id"] for item in items]
    right = {}
    for item in items:
        spaced = [" " + choice for choice in item["choices"]]
        nats = np.asarray([log_likelihood(theirs, item["context"], choice) for choice in spaced])
        np.testing.assert_allclose(written[item["id"]]["nats"], nats, rtol=1e-5, atol=1e-4)
        alone = np.asarray([log_likelihood(theirs, "", choice) for choice in spaced])
        by_metric = {"acc": nats, "acc_norm": nats / [len(c) for c in item["choices"]], "acc_mutual_info": nats - alone}
        for metric, values in by_metric.items():
            is_right = float(values.argmax() == item["answer"])
            assert written[item["id"]]["metrics"][metric] == is_right
            right.setdefault((item["language"], metric), []).append(is_right)
    for (language, metric), scores in right.items():
        measured = of_task["languages"][language]["metrics"][metric]
        assert measured["value"] == pytest.approx(np.mean(scores))
        assert measured["interval"] == pytest.approx(proportion_interval(int(sum(scores)), 7))
    of_german = of_task["languages"]["de"]
    assert (of_german["items"], of_german["cut"]) == (7, 0)
    assert set(of_german["baselines"]) == {"chance", "majority", "overlap"}
    assert of_german["baselines"]["chance"] == pytest.approx((4 / 2 + 3 / 3) / 7)


def test_a_table_for_each_ability(capsys, tiny, files):
    tasks = f"file:{files / 'choices.jsonl'},file:{files / 'prompts.jsonl'}"
    done = run(capsys, "evaluate", tiny, "--tasks", tasks, "--languages", "de", "--limit", 2)
    assert done.status == 0, done.err
    lines = [line.split() for line in done.out.splitlines()]
    assert [line[-1] for line in lines if line and line[0].startswith(str(tiny))] == ["language", "knowledge"]
    (choices,) = [line for line in lines if line and line[0].endswith("choices.jsonl")]
    (prompts,) = [line for line in lines if line and line[0].endswith("prompts.jsonl")]
    assert choices[1:3] == ["de", "acc_norm"]
    assert choices[-1] == "2"
    assert prompts[1:3] == ["de", "chrf"]


def test_generation_ends_at_stop_texts_and_what_is_empty_or_cut_is_counted(capsys, tmp_path):
    short = tmp_path / "short"
    # The default of 128 new tokens leaves room for 32.
    write_tiny_checkpoint(short, "llama", max_position_embeddings=160)
    path = tmp_path / "prompts.jsonl"
    # Whatever is generated holds one of so many letters: each text is empty.
    letters = [chr(i) for i in range(32, 127)] + list("äöüßаеиноркабвгдмстابتدرسمن的一是不了人我在有他这") + ["�"]
    records = [
        {"prompt": "und das", "reference": "Haus", "language": "de", "stop": letters},
        {"prompt": "und das " * 60, "reference": "Haus", "language": "de", "stop": "\n\n\n"},
    ]
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    asked = ["--tasks", f"file:{path}", "--languages", "de", "--items", tmp_path / "items.jsonl"]
    done = run(capsys, "evaluate", short, *asked, "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)["tasks"][f"file:{path}"]["languages"]["de"]
    first, second = map(json.loads, (tmp_path / "items.jsonl").read_text().splitlines())
    assert first["text"] == ""
    assert set(first["metrics"].values()) == {0}
    assert second["text"]
    assert (found["empty"], found["cut"]) == (1, 1)
    assert set(found["metrics"]) == {"chrf", "rouge1", "rougeL", "exact_match"}
    assert found["metrics"]["chrf"]["value"] == pytest.approx(second["metrics"]["chrf"] / 2)
    again = run(capsys, "evaluate", short, *asked)
    assert again.status == 2
    assert "exists already" in again.err
    table = run(capsys, "evaluate", short, *asked[:-2])
    assert "1 of 2 generations are empty, and score 0" in table.out
    assert "1 texts were longer" in table.out


def test_own_tasks_by_name(capsys, tmp_path, tiny, monkeypatch):
    database = write_bible(tmp_path / "bible.db")
    monkeypatch.setattr("jaxprune.samples.fetch", lambda name: database)
    asked = ["--tasks", "next-verse,verse-retrieval", "--languages", "sw,en", "--limit", 6, "--json"]
    outputs = [json.loads(run(capsys, "evaluate", tiny, *asked, *more).out) for more in ([], [], ["--block", "2"])]
    assert outputs[0] == outputs[1]
    found = outputs[0]["tasks"]
    assert list(found["next-verse"]["languages"]) == ["sw", "en"]
    assert list(found["verse-retrieval"]["languages"]) == ["sw"]
    assert outputs[0]["missing"] == [["verse-retrieval", "en"]]
    retrieval = found["verse-retrieval"]["languages"]["sw"]
    assert set(retrieval["metrics"]) == {"acc", "acc_centred"}
    # Verses are the same numbers in every edition.
    assert retrieval["baselines"] == {"chance": pytest.approx(1 / 6), "overlap": 1.0}
    assert outputs[2]["tasks"]["next-verse"] == found["next-verse"]


def test_the_list_needs_no_model_and_no_language(capsys):
    done = run(capsys, "evaluate", "nothing", "--tasks", "list", "--json")
    assert done.status == 0, done.err
    tasks = json.loads(done.out)["tasks"]
    assert {"ar", "de", "en", "es", "ru", "sw", "zh", "ja"} <= set(tasks["next-verse"]["languages"])
    assert {task["ability"] for task in tasks.values()} == {"language", "knowledge", "reasoning"}
    shown = run(capsys, "evaluate", "nothing", "--tasks", "list").out
    assert all(name in shown for name in tasks)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tasks", "next-vers"], "Did you mean next-verse?"),
        (["--tasks", "exams", "--metric", "acc_nrm"], "Did you mean acc_norm?"),
        (["--tasks", "exams", "--languages", "sw,xx"], "no task has items in sw, xx: exams has ar, bg"),
        (["--tasks", "exams", "--languages", ""], "--languages"),
        (["--tasks", "file:absent.jsonl"], "absent.jsonl"),
        (["--tasks", "exams", "--block", "3"], "2 blocks"),
        (["--tasks", "exams", "--items", "absent/items.jsonl"], "absent/items.jsonl would lie in a folder"),
        (["--tasks", "exams", "--limit", "0"], "--limit"),
        ([], "--tasks"),
    ],
)
def test_a_wrong_request_ends_with_2(capsys, tiny, arguments, said):
    languages = [] if "--languages" in arguments else ["--languages", "de"]
    done = run(capsys, "evaluate", tiny, *languages, *arguments)
    assert done.status == 2, done.err
    assert said in " ".join(done.err.split())
    assert "Traceback" not in done.err
