"""Hub ids through the hub's own client, against a server of its kind: fetched, pinned, missing, gated."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkpoints.folders import assert_same_bits, read_all
from tests.checkpoints.hub_server import commit_of, serve_hub
from tests.tiny import write_tiny_checkpoint

# One process for all commands: the client reads its endpoint once, and starting takes seconds.
_RUN = """
import json, sys
from jaxprune.cli.app import main
for line in sys.stdin:
    try:
        main(json.loads(line))
    except SystemExit as end:
        print(json.dumps(end.code or 0), flush=True)
        print("====", file=sys.stderr, flush=True)
"""


def run_all(commands: list[list[str]], endpoint: str, home: Path) -> list[tuple[int, str]]:
    """Returns exit status and standard error of each command."""
    online = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "NO_PROXY": "*", "COLUMNS": "400"}
    done = subprocess.run(
        [sys.executable, "-c", _RUN],
        input="\n".join(map(json.dumps, commands)),
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if name != "HF_TOKEN"} | online,
        cwd=Path(__file__).parents[2],
    )
    statuses = [json.loads(line) for line in done.stdout.splitlines() if line.isdigit()]
    return list(zip(statuses, done.stderr.split("====\n")[:-1], strict=True))


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """What a hub with three repositories answers to eight commands: outcomes, requests, folders."""
    folder = tmp_path_factory.mktemp("hub")
    write_tiny_checkpoint(folder / "main", "llama", seed=1)
    write_tiny_checkpoint(folder / "v1", "llama", seed=2)
    write_tiny_checkpoint(folder / "gated", "llama", seed=3)
    # The client keeps what it has of a broken file in pieces of ten megabytes.
    write_tiny_checkpoint(folder / "breaks", "llama", seed=4, vocab_size=61_003)
    (folder / "breaks/model.safetensors").rename(folder / "breaks/breaks.safetensors")
    (folder / "main/pytorch_model.bin").write_bytes(b"never fetched")
    (folder / "main/original").mkdir()
    (folder / "main/original/consolidated.safetensors").write_bytes(b"never fetched")
    repositories = {
        "org/tiny": {"main": folder / "main", "v1": folder / "v1"},
        "org/gated": {"main": folder / "gated"},
        "org/breaks": {"main": folder / "breaks"},
    }
    asked = {
        "main": "org/tiny",
        "tag": "org/tiny@v1",
        "commit": f"org/tiny@{commit_of('org/tiny', 'v1')}",
        "breaks": "org/breaks",
        "again": "org/tiny",
        "missing": "org/missing",
        "revision": "org/tiny@v9",
        "gated": "org/gated",
    }
    commands = [["convert", model, str(folder / f"out-{name}"), "--to", "huggingface"] for name, model in asked.items()]
    with serve_hub(repositories, gated={"org/gated"}) as (endpoint, requests):
        outcomes = run_all(commands, endpoint, folder / "home")
    return dict(zip(asked, outcomes, strict=True)), requests, folder


@pytest.mark.parametrize(
    ("name", "source"), [("main", "main"), ("tag", "v1"), ("commit", "v1"), ("again", "main"), ("breaks", "breaks")]
)
def test_the_revision_that_was_asked_for_is_fetched_whole(hub, name, source):
    outcomes, _, folder = hub
    status, said = outcomes[name]
    assert status == 0, said
    assert_same_bits(read_all(folder / f"out-{name}"), read_all(folder / source))
    assert (folder / f"out-{name}/tokenizer.json").read_bytes() == (folder / source / "tokenizer.json").read_bytes()


def test_only_what_is_needed_is_fetched_and_once(hub):
    _, requests, _ = hub
    assert not [request for request in requests if "pytorch_model" in request or "consolidated" in request]
    weights = [request for request in requests if request.startswith("GET /large") and "/main/" in request]
    assert len(weights) == 1


def test_a_lost_connection_is_taken_up_where_it_broke(hub):
    _, requests, folder = hub
    fetched = [request for request in requests if request.startswith("GET /large") and "breaks" in request]
    size = (folder / "breaks/breaks.safetensors").stat().st_size
    assert len(fetched) == 2
    assert size // 2 < int(fetched[1].partition("bytes=")[2].rstrip("-")) < size


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "org/missing is neither a local folder nor a repository on the Hugging Face hub that you can see"),
        ("revision", "org/tiny@v9: the repository exists, this revision does not; name a branch, a tag or a commit"),
        ("gated", "org/gated is gated: accept its terms .* log in with `hf auth login` \\(or set HF_TOKEN\\)"),
    ],
)
def test_a_refusal_of_the_hub_ends_with_2_and_leaves_nothing(hub, name, message):
    outcomes, _, folder = hub
    status, said = outcomes[name]
    assert status == 2
    assert re.search(message, said), said
    assert "Traceback" not in said
    assert not list(folder.glob(f"*out-{name}*"))
