"""What lies beside the weights: config, tokenizer, licence."""

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import transformers

from jaxprune.checkpoints.checkpoint import WITHOUT_TOKENIZER
from jaxprune.checkpoints.gguf import GGUFFile
from jaxprune.checkpoints.json_file import parse_object, read_object, read_small
from jaxprune.errors import MissingTokenizerError, RequestError

CONFIG_FILE = "config.json"
# The tokenizer comes from one of these; the others in TOKENIZER_FILES only add to it.
_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
TOKENIZER_FILES = (
    *_VOCABULARIES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "chat_template.*",
    "additional_chat_templates/*.jinja",
)
LICENCE_FILES = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*", "COPYING*")
_GENERATION_FILE = "generation_config.json"

_log = logging.getLogger(__name__)


@runtime_checkable
class Companions(Protocol):
    """What a checkpoint has besides weights."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The contents of ``config.json``."""
        ...

    def write(self, folder: Path, dtype: np.dtype | None) -> None:
        """Writes all of it to ``folder``; the config says ``dtype`` if one is given."""
        ...

    def tokenizer(self) -> transformers.PreTrainedTokenizerBase:
        """Returns the tokenizer."""
        ...

    def generation_config(self) -> dict[str, Any]:
        """Returns what ``generation_config.json`` says; empty if there is none."""
        ...


class FolderCompanions:
    """Files in a folder, copied as they are."""

    def __init__(self, folder: Path):
        """Reads ``config.json``.

        Raises:
          RequestError: it is missing or not a JSON object.
        """
        self._folder = folder
        self._config_text = read_small(folder / CONFIG_FILE)
        self.config: Mapping[str, Any] = parse_object(self._config_text, str(folder / CONFIG_FILE))

    def write(self, folder: Path, dtype: np.dtype | None) -> None:
        """Copies config, generation config, tokenizer and licence files."""
        if dtype is None and "auto_map" not in self.config:
            (folder / CONFIG_FILE).write_bytes(self._config_text)
        else:
            _write_config(folder, self.config, dtype)
        for pattern in (_GENERATION_FILE, *TOKENIZER_FILES, *LICENCE_FILES):
            for path in sorted(self._folder.glob(pattern)):
                if path.is_file():
                    target = folder / path.relative_to(self._folder)
                    target.parent.mkdir(exist_ok=True)
                    shutil.copyfile(path, target)

    def tokenizer(self) -> transformers.PreTrainedTokenizerBase:
        """Builds the tokenizer from the folder's files, running no code that lies there."""
        if not any((self._folder / name).is_file() for name in _VOCABULARIES):
            raise MissingTokenizerError(
                f"{self._folder} has no tokenizer ({', '.join(_VOCABULARIES[:2])} ...); add its files. "
                f"{WITHOUT_TOKENIZER}"
            )
        try:
            return transformers.AutoTokenizer.from_pretrained(
                self._folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # whatever a damaged file makes the parsers of several packages raise
            raise RequestError(
                f"the tokenizer in {self._folder} cannot be built ({_first_line(error)}); fetch its files again. "
                f"{WITHOUT_TOKENIZER}"
            ) from error

    def generation_config(self) -> dict[str, Any]:
        """Reads ``generation_config.json`` if it is there."""
        path = self._folder / _GENERATION_FILE
        return read_object(path) if path.is_file() else {}


class GGUFCompanions:
    """What a GGUF file says in its metadata, as the files that a Hugging Face folder has."""

    def __init__(self, file: GGUFFile):
        """Rebuilds the config."""
        self._file = file
        self.config: Mapping[str, Any] = file.config()

    def write(self, folder: Path, dtype: np.dtype | None) -> None:
        """Writes the rebuilt config and, if the file has one, the tokenizer."""
        _write_config(folder, self.config, dtype)
        try:
            tokenizer = self._file.tokenizer()
        except RequestError as error:
            _log.warning("the result gets no tokenizer: %s", error)
            return
        tokenizer.save_pretrained(folder)

    def tokenizer(self) -> transformers.PreTrainedTokenizerBase:
        """Builds the tokenizer from the file's vocabulary."""
        return self._file.tokenizer()

    def generation_config(self) -> dict[str, Any]:
        """Returns the tokens that end a text, a turn or a message."""
        return {"eos_token_id": self._file.end_tokens()}


def _write_config(folder: Path, config: Mapping[str, Any], dtype: np.dtype | None) -> None:
    # auto_map names Python files, which are neither run here nor copied.
    written = {key: value for key, value in config.items() if key != "auto_map"}
    if dtype is not None:
        written.pop("torch_dtype", None)
        written["dtype"] = dtype.name
        if "torch_dtype" in config or "dtype" not in config:  # transformers before version 5 knows this name only
            written["torch_dtype"] = written.pop("dtype")
    text = json.dumps(written, indent=2, ensure_ascii=False) + "\n"
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
