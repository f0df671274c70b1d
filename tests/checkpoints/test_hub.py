"""Hub ids: which are recognised, what is fetched, what is said when that fails. No test reaches the hub."""

import errno
import logging

import huggingface_hub
import pytest
from huggingface_hub import errors
from huggingface_hub.utils import filter_repo_objects

from jaxprune.checkpoints import hub, open_checkpoint
from jaxprune.errors import RequestError
from tests.tiny import write_tiny_checkpoint


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("CohereLabs/aya-23-8B", ("CohereLabs/aya-23-8B", None)),
        ("a/b.c_d-1@refs/pr/3", ("a/b.c_d-1", "refs/pr/3")),
        ("org/name@v1.0", ("org/name", "v1.0")),
        *[(text, None) for text in ("gpt2", "./a/b", "../a", "/a/b", "a/b/c", "a b/c", "a/b@", "~/a", "a/", "@a/b")],
    ],
)
def test_ids_are_told_from_paths(reference, expected):
    assert hub.parse_hub_id(reference) == expected


def test_only_what_is_needed_is_fetched(monkeypatch, tmp_path, caplog):
    wanted = [
        *("config.json", "generation_config.json", "model-00001-of-00002.safetensors"),
        *(
            "model.safetensors.index.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
        ),
        *("tokenizer.model", "vocab.json", "merges.txt", "chat_template.jinja"),
        *("additional_chat_templates/rag.jinja", "LICENSE", "USE_POLICY.md"),
    ]
    others = [
        *("README.md", "pytorch_model.bin", "consolidated.00.pth", "original/params.json", "modeling.py"),
        *("original/consolidated.safetensors", "onnx/model.onnx", "model.gguf", "tf_model.h5"),
        *("consolidated.safetensors", "trainer_state.json", "runs/events.out", "onnx/config.json"),
    ]
    chosen = []

    def download(repository, *, revision, allow_patterns, ignore_patterns, tqdm_class):
        assert (repository, revision) == ("org/name", "main")
        assert tqdm_class(range(3)).disable
        filters = {"allow_patterns": allow_patterns, "ignore_patterns": ignore_patterns}
        chosen.extend(filter_repo_objects([*others, *wanted], **filters))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    write_tiny_checkpoint(tmp_path, "llama")
    with caplog.at_level(logging.INFO):
        checkpoint = open_checkpoint("org/name@main")
    assert checkpoint.reference == "org/name@main"
    assert "org/name@main" in caplog.text
    assert chosen == wanted


def _answer(kind, text):
    """Returns an error of the hub's without the HTTP response that its constructor asks for."""
    error = kind.__new__(kind)
    OSError.__init__(error, text)
    return error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (_answer(errors.GatedRepoError, "403"), "is gated: accept its terms .* log in with `hf auth login`"),
        (
            _answer(errors.RepositoryNotFoundError, "404"),
            "neither a local folder nor a repository.*log in with",
        ),
        (_answer(errors.RevisionNotFoundError, "404"), "this revision does not"),
        (
            _answer(errors.HfHubHTTPError, "500 Server Error"),
            "cannot be fetched from the Hugging Face hub: 500 Server Error; try again later",
        ),
        (errors.HFValidationError("bad\nworse"), r"valid hub id org/name\[@revision\]: bad$"),
        (
            errors.LocalEntryNotFoundError("no"),
            "the Hugging Face hub cannot be reached: connect this machine",
        ),
        (ConnectionError("no route"), "cannot be reached"),
        (errors.HTTPError("no route"), "cannot be reached"),
        (OSError(errno.ENOSPC, "full"), "the disk of the hub's cache is full"),
        (ValueError("odd\ntraceback"), "cannot be fetched from the Hugging Face hub: odd; try again later"),
    ],
)
def test_failures_say_what_to_do_in_one_line(monkeypatch, error, message):
    def download(*arguments, **options):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: False)
    with pytest.raises(RequestError, match=message) as caught:
        open_checkpoint("org/name")
    assert str(caught.value).startswith("org/name")
    assert "\n" not in str(caught.value)


def test_offline_is_said_without_trying(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert huggingface_hub.is_offline_mode()  # tests/conftest.py
    with pytest.raises(RequestError, match=r"org/not-in-any-cache@v1 is not a local folder and .* HF_HUB_OFFLINE"):
        open_checkpoint("org/not-in-any-cache@v1")


def test_a_local_folder_goes_before_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tiny_checkpoint(tmp_path / "org/name", "llama")
    assert open_checkpoint("org/name").model.num_blocks == 2
