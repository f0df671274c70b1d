"""Several processes prune one model: the same bytes as one, and what happens when one of them dies."""

import json
import signal

import numpy as np
import pytest

from tests import multiprocess
from tests.cli.run import run
from tests.tiny import VOCAB_SIZE, write_tiny_checkpoint

# Beyond any machine's slowness: a test that hangs has to end.
PATIENCE = 600


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    write_tiny_checkpoint(folder / "dense", "llama", seed=0, shards=2)
    tokens = np.random.default_rng(0).integers(3, VOCAB_SIZE, (6, 9)).astype(np.int32)
    np.save(folder / "tokens.npy", tokens)
    return folder


def arguments(inputs, out, *more, mesh="data=1,model=4"):
    return ["prune", str(inputs / "dense"), str(out), "--texts", f"tokens:{inputs / 'tokens.npy'}",
            "--pattern", "2:4", "--mesh", mesh, *more]  # fmt: skip


def contents(folder):
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return files, json.loads(files.pop("jaxprune/manifest.json"))


@pytest.fixture(scope="module")
def by_one(inputs):
    """What one process with as many devices writes."""
    return alone(inputs, "one")


def alone(inputs, name, **mesh):
    process = multiprocess.start_alone(
        arguments(inputs, inputs / name, **mesh), devices=4, logs=inputs / f"logs-{name}"
    )
    assert multiprocess.wait([process], seconds=PATIENCE) == [0]
    return contents(inputs / name)


def test_two_processes_that_share_the_weights_write_what_one_writes(inputs, by_one):
    two = multiprocess.start(
        arguments(inputs, inputs / "two", "--json"), processes=2, devices=2, logs=inputs / "logs-two"
    )
    assert multiprocess.wait(two, seconds=PATIENCE) == [0, 0]
    files, manifest = contents(inputs / "two")
    assert files == by_one[0]
    assert manifest["sparsity"] == by_one[1]["sparsity"]
    assert len(manifest["devices"]) == 4
    # One process prints, and nothing but what was asked for; the other is silent.
    assert json.loads((inputs / "logs-two" / "0.out").read_text())["sparsity"] == manifest["sparsity"]
    assert (inputs / "logs-two" / "1.out").read_text() == ""


def test_two_processes_that_share_the_sequences_write_what_one_writes(inputs):
    files, _ = alone(inputs, "sequences", mesh="data=4")
    two = multiprocess.start(
        arguments(inputs, inputs / "two-sequences", mesh="data=4"), processes=2, devices=2, logs=inputs / "logs-shared"
    )
    assert multiprocess.wait(two, seconds=PATIENCE) == [0, 0]
    assert contents(inputs / "two-sequences")[0] == files


@pytest.mark.parametrize(
    ("victim", "by"), [(0, signal.SIGKILL), pytest.param(1, signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_when_one_is_killed_the_other_says_so_and_the_run_resumes(inputs, by_one, victim, by):
    out, logs = inputs / f"killed-{victim}", inputs / f"logs-killed-{victim}"
    # One block is in the journal, the second on its way there.
    hold = multiprocess.Hold("jaxprune.jobs.journal", "Journal.add", 2, inputs / f"held-{victim}")
    two = multiprocess.start(arguments(inputs, out), processes=2, devices=2, logs=logs, hold=hold)
    hold.wait(two[0])
    two[victim].send_signal(by)
    hold.release()
    ended = multiprocess.wait(two, seconds=60)
    assert ended[1 - victim] == 1
    # SIGTERM is not lost while the process waits for the other, and is answered.
    assert ended[victim] == (-by if by == signal.SIGKILL else 128 + by)
    assert f"process {1 - victim} lost the others" in " ".join((logs / f"{1 - victim}.err").read_text().split())
    assert not out.exists()
    again = multiprocess.start(arguments(inputs, out, "--resume"), processes=2, devices=2, logs=inputs / "logs-again")
    assert multiprocess.wait(again, seconds=PATIENCE) == [0, 0]
    files, manifest = contents(out)
    assert files == by_one[0]
    assert manifest["resumed_at_block"] >= 1


def test_what_one_process_finds_wrong_ends_all_with_the_same_message(inputs, capsys):
    write_tiny_checkpoint(inputs / "broken", "llama", seed=0)
    path = inputs / "broken" / "model.safetensors"
    content = bytearray(path.read_bytes())
    # Infinity in the last weight of the file: only the process that has those outputs reads it.
    content[-4:] = np.float32(np.inf).tobytes()
    path.write_bytes(content)
    logs = inputs / "logs-broken"
    asked = arguments(inputs, inputs / "never")
    asked[1] = str(inputs / "broken")
    two = multiprocess.start(asked, processes=2, devices=2, logs=logs)
    assert multiprocess.wait(two, seconds=PATIENCE) == [2, 2]
    for process in (0, 1):
        assert "holds 1 NaN or infinite values" in " ".join((logs / f"{process}.err").read_text().split())
    assert not (inputs / "never").exists()
    assert not (inputs / ".never.partial").exists()
    assert run(capsys, *asked).status == 2


def test_an_output_that_lies_on_one_of_two_machines_is_refused(inputs):
    logs = inputs / "logs-apart"
    (inputs / "elsewhere").mkdir()
    asked, apart = arguments(inputs, inputs / "apart"), arguments(inputs, inputs / "elsewhere" / "apart")
    two = multiprocess.start_each([asked, apart], devices=2, logs=logs)
    assert multiprocess.wait(two, seconds=PATIENCE) == [2, 2]
    for process in (0, 1):
        assert "in a folder that all processes share" in (logs / f"{process}.err").read_text()
    assert not (inputs / ".apart.partial").exists()


def test_a_request_that_is_wrong_in_one_process_ends_all_at_once(inputs):
    """As on two machines, one of which lacks a file."""
    logs, asked = inputs / "logs-missing", arguments(inputs, inputs / "never-either")
    lacking = [word.replace("tokens.npy", "missing.npy") for word in asked]
    two = multiprocess.start_each([asked, lacking], devices=2, logs=logs)
    assert multiprocess.wait(two, seconds=PATIENCE) == [2, 2]
    for process in (0, 1):
        assert "there is no such file" in " ".join((logs / f"{process}.err").read_text().split())
    assert not (inputs / "never-either").exists()


def test_processes_that_are_asked_for_different_things_do_nothing(inputs):
    logs, out = inputs / "logs-different", inputs / "never-as-well"
    two = multiprocess.start_each(
        [arguments(inputs, out), arguments(inputs, out, "--method", "magnitude")], devices=2, logs=logs
    )
    assert multiprocess.wait(two, seconds=PATIENCE) == [2, 2]
    for process in (0, 1):
        assert "was asked for method = " in " ".join((logs / f"{process}.err").read_text().split())
    assert not out.exists()


def continuing(inputs, *more):
    prompts = [word for prompt in ("größer und", "ابتدر سمن", "的一是不了人") for word in ("--prompt", prompt)]
    return ["generate", str(inputs / "dense"), *prompts, "--max-new-tokens", "20", "--json", *more]


@pytest.mark.parametrize(
    "more", [pytest.param(["--temperature", "0.9", "--top-k", "100"], marks=pytest.mark.slow), ["--mesh", "model=4"]]
)
def test_two_processes_continue_prompts_as_one_does(inputs, capsys, more):
    """With the prompts shared out over the processes, by default, or the weights."""
    logs = inputs / f"logs-{more[0]}"
    two = multiprocess.start(continuing(inputs, *more), processes=2, devices=2, logs=logs)
    assert multiprocess.wait(two, seconds=PATIENCE) == [0, 0]
    alone = run(capsys, *continuing(inputs, *more[: -2 if "--mesh" in more else None], "--mesh", "data=1"))
    assert json.loads((logs / "0.out").read_text())["outputs"] == json.loads(alone.out)["outputs"]
    assert (logs / "1.out").read_text() == ""


def test_processes_that_are_to_continue_different_prompts_make_nothing(inputs):
    logs = inputs / "logs-prompts"
    asked = [continuing(inputs), continuing(inputs, "--prompt", "аеи")]
    two = multiprocess.start_each(asked, devices=2, logs=logs)
    assert multiprocess.wait(two, seconds=PATIENCE) == [2, 2]
    for process in (0, 1):
        assert "was asked for prompts = " in " ".join((logs / f"{process}.err").read_text().split())
        assert (logs / f"{process}.out").read_text() == ""


def test_what_all_find_wrong_by_themselves_ends_all_with_status_2(inputs):
    """A width that 5 does not divide is no news from one process to the other."""
    logs, asked = inputs / "logs-widths", arguments(inputs, inputs / "never-of-these")
    asked[asked.index("2:4")] = "2:5"
    two = multiprocess.start(asked, processes=2, devices=2, logs=logs)
    assert multiprocess.wait(two, seconds=PATIENCE) == [2, 2]
    for process in (0, 1):
        assert "that 5 divides" in " ".join((logs / f"{process}.err").read_text().split())


@pytest.fixture(scope="module")
def items(inputs):
    """Choices and prompts, as many as no number of devices divides."""
    rng = np.random.default_rng(0)
    words = ["der", "die", "und", "größer", "ist", "nicht", "ein", "Haus"]

    def text(length):
        return " ".join(rng.choice(words, length))

    choices = [
        {"context": text(3 + i), "choices": [text(1 + j) for j in range(3)], "answer": i % 3, "language": "de"}
        for i in range(7)
    ]
    prompts = [{"prompt": text(4), "reference": text(3), "language": "de", "max_new_tokens": 5} for _ in range(3)]
    for name, records in (("choices", choices), ("prompts", prompts)):
        lines = [json.dumps({"id": str(index), **record}) for index, record in enumerate(records)]
        (inputs / f"{name}.jsonl").write_text("\n".join(lines))
    return f"file:{inputs / 'choices.jsonl'},file:{inputs / 'prompts.jsonl'}"


@pytest.mark.parametrize("mesh", ["data=4", pytest.param("data=2,model=2", marks=pytest.mark.slow)])
def test_two_processes_score_tasks_as_one_does(inputs, items, capsys, mesh):
    def asked(written, mesh):
        return ["evaluate", str(inputs / "dense"), "--tasks", items, "--languages", "de", "--mesh", mesh, "--json",
                "--items", str(inputs / written)]  # fmt: skip

    logs = inputs / f"logs-tasks-{mesh}"
    two = multiprocess.start(asked(f"two-{mesh}.jsonl", mesh), processes=2, devices=2, logs=logs)
    assert multiprocess.wait(two, seconds=PATIENCE) == [0, 0]
    alone = run(capsys, *asked(f"alone-{mesh}.jsonl", "data=1"))
    assert alone.status == 0, alone.err
    assert json.loads((logs / "0.out").read_text())["tasks"] == json.loads(alone.out)["tasks"]
    assert (logs / "1.out").read_text() == ""
    written = [
        [json.loads(line) for line in (inputs / f"{who}-{mesh}.jsonl").read_text().splitlines()]
        for who in ("two", "alone")
    ]
    assert len(written[0]) == len(written[1]) == 10
    for of_two, of_one in zip(*written, strict=True):
        np.testing.assert_allclose(of_two.pop("nats", []), of_one.pop("nats", []), rtol=1e-5)
        assert of_two == of_one
