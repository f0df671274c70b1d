"""``jaxprune generate``: what it prints, for programs and for people, and what it refuses."""

import json

import pytest
import torch
import transformers

from jaxprune.cli import console
from tests.checkpoints.folders import edit_json
from tests.cli.run import run
from tests.tiny import EOS, write_tiny_checkpoint

PROMPTS = ["größer und", "ابتدر سمن", "的一是不了人"]
FEW = ["--max-new-tokens", 20, "--mesh", "data=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with the end tokens that its greedy continuation of one prompt meets, and of the others does not."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny_checkpoint(folder, "llama", seed=3)
    met = theirs(folder, PROMPTS[0])[7]
    edit_json(folder / "generation_config.json", eos_token_id=[EOS, met])
    return folder


def theirs(folder, prompt):
    """Returns the tokens that transformers makes, with the folder's own generation config."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    encoded = transformers.AutoTokenizer.from_pretrained(folder)(prompt, return_tensors="pt")
    arguments = {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}
    with torch.no_grad():
        whole = model.generate(**arguments, do_sample=False, max_new_tokens=20)
    return whole[0, encoded["input_ids"].shape[1] :].tolist()


def ask(capsys, folder, *prompts_and_options):
    words = [word for prompt in PROMPTS for word in ("--prompt", prompt)]
    return run(capsys, "generate", folder, *words, *FEW, *prompts_and_options)


def test_json_holds_what_transformers_makes(capsys, folder):
    done = ask(capsys, folder, "--json")
    assert done.status == 0, done.err
    result = json.loads(done.out)
    assert result["tokens_per_second"] > 0
    assert [output["prompt"] for output in result["outputs"]] == PROMPTS
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for output in result["outputs"]:
        assert output["tokens"] == theirs(folder, output["prompt"])
        assert output["text"] == tokenizer.decode(output["tokens"], skip_special_tokens=True)
        assert output["stopped"] == (len(output["tokens"]) < 20)
    assert len(result["outputs"][0]["tokens"]) <= 8
    assert any(not output["stopped"] for output in result["outputs"])


def test_people_see_prompt_and_continuation_as_they_are(capsys, folder):
    texts = [output["text"] for output in json.loads(ask(capsys, folder, "--json").out)["outputs"]]
    done = ask(capsys, folder)
    assert done.status == 0, done.err
    assert done.out == "".join(f"> {prompt}\n{text}\n\n" for prompt, text in zip(PROMPTS, texts, strict=True))
    assert "tokens a second" in done.err


def test_draws_are_those_of_the_seed(capsys, folder):
    drawn = [
        ask(capsys, folder, "--temperature", 1.5, "--top-p", 0.9, "--top-k", 50, "--seed", seed, "--dtype", dtype).out
        for seed, dtype in ((1, "float32"), (1, "float32"), (2, "float32"), (1, "bfloat16"))
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[3]


def test_progress_goes_to_standard_error_and_says_how_long_it_takes(capsys, folder, monkeypatch):
    monkeypatch.setattr(console, "_FIRST_LINE_SECONDS", 0.0)
    monkeypatch.setattr(console, "_LINE_EVERY_SECONDS", 0.0)
    done = ask(capsys, folder, "--json")
    assert json.loads(done.out)
    lines = [line for line in done.err.splitlines() if line.startswith("generate")]
    assert lines
    assert all("min left" in line for line in lines[1:])
    assert "100%" in lines[-1]
    assert any(line.startswith("read  blocks/1") for line in done.err.splitlines())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prompt", ""], "prompt 4 is empty"),
        (["--prompt", "a " * 3000], "made for 2048 in all"),
        (["--max-new-tokens", 2049], "made for 2048 in all"),
        (["--max-new-tokens", 0], "max-new-tokens"),
        (["--temperature", -1], "temperature is -1"),
        (["--top-p", 0], "top-p is 0"),
        (["--top-p", 1.5], "top-p is 1.5"),
        (["--top-k", -3], "top-k is -3"),
        (["--seed", -1], "seed is -1"),
        (["--dtype", "float16"], "--dtype 'float16' is unknown"),
        (["--mesh", "data=99"], "needs 99 devices"),
        (["--chat"], "no chat template"),
    ],
)
def test_a_wrong_request_is_refused_before_weights_are_read(capsys, folder, monkeypatch, options, message):
    monkeypatch.setattr("jaxprune.jobs.generate.load", None)
    done = ask(capsys, folder, *options)
    assert (done.status, done.out) == (2, "")
    assert message in " ".join(done.err.split())
    assert "Traceback" not in done.err


def test_a_prompt_is_needed(capsys, folder):
    assert run(capsys, "generate", folder).status == 2


def test_a_tokenizer_that_does_not_fit_the_model_is_refused(capsys, tmp_path):
    write_tiny_checkpoint(tmp_path / "small", "llama", vocab_size=50)
    done = ask(capsys, tmp_path / "small")
    assert done.status == 2
    assert "outside the model's vocabulary of 50 ids" in " ".join(done.err.split())
