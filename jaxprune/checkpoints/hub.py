"""Checkpoints on the Hugging Face hub, fetched into its cache."""

import errno
import logging
import re
from pathlib import Path
from typing import Any

import huggingface_hub
import tqdm
from huggingface_hub import errors

from jaxprune.checkpoints.companions import CONFIG_FILE, LICENCE_FILES, TOKENIZER_FILES
from jaxprune.errors import RequestError

_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[^@\s]+))?")
# Weights come as safetensors only: pickles are never opened here, so they are not fetched either.
_WANTED = [CONFIG_FILE, "generation_config.json", "*.safetensors", "*.safetensors.index.json"]
_WANTED += [*TOKENIZER_FILES, *LICENCE_FILES]
# Subfolders hold other formats of the same weights (original/, onnx/), and would double the download.
_NOT_WANTED = ["*/*.safetensors", "*/*.json", "consolidated*.safetensors"]

_TRY_AGAIN = "try again later, or give a local folder."

_log = logging.getLogger(__name__)


class _NoBar(tqdm.tqdm):
    """A progress bar that stays silent: this is a library."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **(kwargs | {"disable": True}))


_SILENT: Any = _NoBar


def parse_hub_id(reference: str) -> tuple[str, str | None] | None:
    """Returns repository and revision of ``org/name[@revision]``; None if ``reference`` has another form."""
    match = _ID.fullmatch(reference)
    return (match["id"], match["revision"]) if match else None


def fetch_from_hub(repository: str, revision: str | None) -> Path:
    """Returns the local folder of a hub repository, fetching what is not in the cache yet.

    Raises:
      RequestError: it does not exist, is gated, or cannot be reached.
    """
    what = repository + (f"@{revision}" if revision else "")
    _log.info("fetching %s from the Hugging Face hub (what is in its cache already is used)", what)
    try:
        return Path(
            huggingface_hub.snapshot_download(
                repository,
                revision=revision,
                allow_patterns=_WANTED,
                ignore_patterns=_NOT_WANTED,
                tqdm_class=_SILENT,
            )
        )
    except Exception as error:  # the hub's own kinds, those of its HTTP client, and the disk's
        raise RequestError(_explained(what, error)) from error


def cached_snapshot(repository: str, revision: str | None) -> Path | None:
    """Returns the local folder of a hub repository as far as the cache has it; None if it has nothing of it."""
    try:
        return Path(huggingface_hub.snapshot_download(repository, revision=revision, local_files_only=True))
    except errors.LocalEntryNotFoundError:
        return None


def _explained(what: str, error: Exception) -> str:
    if isinstance(error, errors.GatedRepoError):  # before RepositoryNotFoundError, of which it is a kind
        return (
            f"{what} is gated: accept its terms on its page at the Hugging Face hub, then log in with "
            "`hf auth login` (or set HF_TOKEN)."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{what}: the repository exists, this revision does not; name a branch, a tag or a commit."
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"{what} is neither a local folder nor a repository on the Hugging Face hub that you can see; "
            "check the spelling, or log in with `hf auth login` if it is private."
        )
    if isinstance(error, errors.HFValidationError):
        return f"{what} is neither a local folder nor a valid hub id org/name[@revision]: {_first_line(error)}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{what} cannot be fetched: the disk of the hub's cache is full; make room, or set HF_HOME."
    if isinstance(error, errors.HfHubHTTPError):
        return f"{what} cannot be fetched from the Hugging Face hub: {_first_line(error)}; {_TRY_AGAIN}"
    if huggingface_hub.is_offline_mode():
        return (
            f"{what} is not a local folder and not in the hub's cache, and HF_HUB_OFFLINE forbids fetching; "
            "unset it, or give a local folder."
        )
    # What is left of the HTTP client's errors, now that the hub's answers are dealt with, is transport.
    if isinstance(error, errors.LocalEntryNotFoundError | errors.HTTPError | ConnectionError | TimeoutError):
        return (
            f"{what} is not a local folder and not in the hub's cache, and the Hugging Face hub cannot be "
            "reached: connect this machine, or give a local folder."
        )
    return f"{what} cannot be fetched from the Hugging Face hub: {_first_line(error)}; {_TRY_AGAIN}"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
