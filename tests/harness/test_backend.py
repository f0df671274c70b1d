"""The same tasks, defined in the harness's YAML over local files, by its backend for transformers and by ours.

Item by item: log-likelihoods, whether they are greedy, every metric, and the texts that are generated.
"""

import inspect
import json
import re
import subprocess
import sys

import lm_eval
import numpy as np
import pytest
import torch
import yaml
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from jaxprune.errors import RequestError
from jaxprune.evaluation.choices import choice_metrics
from jaxprune.harness import JaxpruneLM
from jaxprune.harness.__main__ import main
from tests.tiny import generated_text, write_tiny_checkpoint

# The model is too small to be worth more than one thread.
torch.set_num_threads(1)

MAX_LENGTH = 64  # shorter than some of what is asked, so that contexts are cut and texts have several windows
NUM_ITEMS = 7
CHOICE_METRICS = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info")


def write_tasks(folder):
    """Writes a task of each kind, its documents beside it."""

    def words(seed, count):
        return generated_text(seed, words=count)

    documents = {
        "choice": [
            {
                # Contexts that end in white space, that are too long, and none at all.
                "question": ["", words(i, 3) + "  ", words(i, 90)][i] if i < 3 else words(i, 12),
                "choices": [words(100 * i + k, 1 + (i + k) % 5) for k in range(2 + i % 3)],
                "answer": i % 2,
            }
            for i in range(NUM_ITEMS)
        ],
        "rolling": [{"text": words(i, 1 + 30 * i)} for i in range(NUM_ITEMS)],
        "until": [{"prompt": words(i, [3, 40][i % 2]), "target": words(i + 50, 2)} for i in range(NUM_ITEMS)],
    }
    metrics = {
        "choice": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in CHOICE_METRICS],
        "rolling": [{"metric": name} for name in ("word_perplexity", "byte_perplexity", "bits_per_byte")],
        "until": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
    fields = {
        "choice": {
            "output_type": "multiple_choice",
            "doc_to_text": "{{question}}",
            "doc_to_choice": "choices",
            "doc_to_target": "answer",
        },
        "rolling": {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}"},
        "until": {
            "output_type": "generate_until",
            "doc_to_text": "{{prompt}}",
            "doc_to_target": "{{target}}",
            "generation_kwargs": {"until": ["at", "的", "\n\n"], "max_gen_toks": 20, "do_sample": False},
        },
    }
    for name, lines in documents.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        task = {
            "task": f"jaxprune_{name}",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(folder / f"{name}.jsonl")}},
            "test_split": "test",
            "metric_list": metrics[name],
            **fields[name],
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    return [f"jaxprune_{name}" for name in documents]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    write_tiny_checkpoint(folder, "gemma3_text", seed=1, max_position_embeddings=MAX_LENGTH, tie_word_embeddings=False)
    return folder


@pytest.fixture(scope="module")
def ours(model):
    return JaxpruneLM(str(model), data=2)


@pytest.fixture(scope="module")
def theirs(model):
    return HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=3)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    return folder, write_tasks(folder)


@pytest.fixture(scope="module")
def results(tasks, ours, theirs):
    folder, names = tasks
    return [
        lm_eval.simple_evaluate(
            model=lm,
            tasks=names,
            task_manager=TaskManager(include_path=str(folder), include_defaults=False),
            log_samples=True,
            bootstrap_iters=0,
        )
        for lm in (ours, theirs)
    ]


def assert_alike(found, wanted):
    """Fails unless both are the same, but for rounding of numbers."""
    if isinstance(wanted, list | tuple):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_alike(one, other)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-5)
    else:
        assert found == wanted


@pytest.mark.parametrize("kind", ["choice", "rolling", "until"])
def test_every_item_is_the_same(results, kind):
    found, wanted = ([*of["samples"][f"jaxprune_{kind}"]] for of in results)
    assert len(found) == len(wanted) == NUM_ITEMS
    for one, other in zip(found, wanted, strict=True):
        assert one.keys() == other.keys()
        for name in ("doc_id", "arguments", "resps", "filtered_resps", "target", *other["metrics"]):
            assert_alike(one[name], other[name])
    found, wanted = (of["results"][f"jaxprune_{kind}"] for of in results)
    for name, value in wanted.items():
        assert_alike(found[name], value)


def test_the_tasks_are_no_formality(results):
    """Metrics disagree, some contexts are cut, texts take several windows, and something stops before its end."""
    samples = results[0]["samples"]
    rows = [tuple(sample[name] for name in CHOICE_METRICS) for sample in samples["jaxprune_choice"]]
    assert len(set(rows)) > 2
    texts = [sample["resps"][0][0] for sample in samples["jaxprune_until"]]
    assert len({*map(len, texts)}) > 3
    assert not any("at" in text or "的" in text for text in texts)


def test_our_metrics_are_theirs(results):
    """On the likelihoods that the harness found."""
    for sample in results[1]["samples"]["jaxprune_choice"]:
        choices = sample["doc"]["choices"]
        nats = np.asarray([float(response[0][0]) for response in sample["resps"]])
        chosen = choice_metrics(nats[: len(choices)], nats[len(choices) :], choices)
        for metric in CHOICE_METRICS:
            assert float(chosen[metric] == sample["doc"]["answer"]) == sample[metric]


def test_of_equal_choices_the_first_is_made_and_lengths_are_characters_or_bytes():
    assert choice_metrics(np.asarray([-2.0, -2.0]), None, ["a", "b"]) == {"acc": 0, "acc_norm": 0, "acc_bytes": 0}
    chosen = choice_metrics(np.asarray([-2.0, -3.0, -1.9]), np.asarray([-4.0, -5.5, -2.0]), ["wort", "言葉で", "a"])
    assert chosen == {"acc": 2, "acc_norm": 0, "acc_bytes": 1, "acc_mutual_info": 1}
    with pytest.raises(RequestError, match="choice 2 is empty"):
        choice_metrics(np.zeros(2), None, ["a", ""])


def instance(kind, *arguments, doc_id=0):
    return Instance(request_type=kind, doc={}, arguments=arguments, idx=0, metadata=("task", doc_id, 1))


def test_sampled_repeats_are_drawn_anew_and_the_same_again(ours):
    asked = {"until": [], "max_gen_toks": 12, "do_sample": True, "temperature": 1.5, "top_k": 50}
    requests = [instance("generate_until", "abc de", dict(asked)) for _ in range(3)]
    drawn = ours.generate_until(requests, disable_tqdm=True)
    assert len({*drawn}) == 3
    assert ours.generate_until(requests, disable_tqdm=True) == drawn


def test_chats_are_put_into_the_tokenizers_template(model, ours, theirs):
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    with pytest.raises(RequestError, match="no chat template"):
        ours.apply_chat_template(chat)
    template = (
        "<bos>{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('none') }}{% endif %}"
        "[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[model]{% endif %}"
    )
    for lm in (ours, theirs):
        lm.tokenizer.chat_template = template
    try:
        texts = [lm.apply_chat_template(list(chat)) for lm in (ours, theirs)]
        assert texts[0] == texts[1] == "<bos>[user]u[model]"
        # BOS is spelled out there, and not put before it once more.
        assert ours.tok_encode(texts[0]) == theirs.tok_encode(texts[1])
        assert ours.tok_encode(texts[0]).count(ours.prefix_token_id) == 1
        assert ours.chat_template(True) == theirs.chat_template(True) == template
    finally:
        for lm in (ours, theirs):
            lm.tokenizer.chat_template = None
    assert "tiny" in ours.tokenizer_name
    assert "/" not in ours.tokenizer_name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "int4"}, "dtype 'int4' is unknown"),
        ({"batch_size": "many"}, "batch_size='many' is no number"),
        ({"model": 0}, "model=0 is no number"),
        ({"pretrained": "nowhere/at/all"}, "nowhere"),
    ],
)
def test_refuses_settings_that_make_no_sense(model, settings, message):
    with pytest.raises(RequestError, match=message):
        JaxpruneLM(**{"pretrained": str(model), **settings})


def test_refuses_what_cannot_be_answered(ours):
    with pytest.raises(RequestError, match="document 3: the continuation '' adds no token"):
        ours.loglikelihood([instance("loglikelihood", "abc", "", doc_id=3)], disable_tqdm=True)
    with pytest.raises(RequestError, match=f"tokens, and the model sees {MAX_LENGTH}"):
        ours.loglikelihood([instance("loglikelihood", "abc", " " + generated_text(0))], disable_tqdm=True)
    with pytest.raises(RequestError, match="generation_kwargs hold num_beams"):
        ours.generate_until([instance("generate_until", "abc", {"num_beams": 3})], disable_tqdm=True)
    with pytest.raises(RequestError, match=f"{MAX_LENGTH} tokens are to be generated"):
        ours.generate_until([instance("generate_until", "abc", {"max_gen_toks": MAX_LENGTH})], disable_tqdm=True)


COMMAND = """
import sys
from importlib.machinery import PathFinder

class WithoutTorch(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] == "torch" else super().find_spec(name, path, target)

sys.meta_path = [WithoutTorch if finder is PathFinder else finder for finder in sys.meta_path]
from jaxprune.harness.__main__ import main
main()
assert "torch" not in sys.modules
"""


def test_its_command_line_knows_the_model_and_needs_no_pytorch(model, tasks, results, tmp_path):
    arguments = ["run", "--model", "jaxprune", "--model_args", f"pretrained={model},dtype=float32,data=1",
                 "--tasks", "jaxprune_choice", "--include_path", str(tasks[0]), "--limit", "4",
                 "--batch_size", "auto", "--output_path", str(tmp_path), "--log_samples"]  # fmt: skip
    ran = subprocess.run([sys.executable, "-c", COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "jaxprune_choice" in ran.stdout
    (samples,) = tmp_path.rglob("samples_*.jsonl")
    found = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    for one, other in zip(found, results[1]["samples"]["jaxprune_choice"], strict=False):
        assert [one[name] for name in CHOICE_METRICS] == [other[name] for name in CHOICE_METRICS]
    assert len(found) == 4


def test_its_command_line_says_what_is_wrong(monkeypatch, capsys):
    monkeypatch.setattr("lm_eval.__main__.cli_evaluate", lambda: JaxpruneLM("nowhere/at/all"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: the model 'nowhere/at/all' does not exist")


def test_help_begins_with_what_is_ours(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["jaxprune.harness", "--help"])
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr().out
    assert told.index("--model jaxprune --model_args pretrained=MODEL") < told.index("usage")
    assert set(inspect.signature(JaxpruneLM).parameters) - {"batch_size", "max_batch_size", "device"} <= set(
        re.findall(r"\w+", told[: told.index("All else is")])
    )
