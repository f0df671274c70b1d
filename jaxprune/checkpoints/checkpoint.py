"""What a model reference opens to, and what a model is written with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import transformers

from jaxprune.checkpoints.stored_parameter import StoredParameter
from jaxprune.models.causal_lm import CausalLM
from jaxprune.typing import Params

WITHOUT_TOKENIZER = "Only prune, perplexity and snr do without one, with token ids (--texts tokens:FILE.npy)."
"""What a model without a tokenizer is still good for."""


@runtime_checkable
class Checkpoint(Protocol):
    """A stored model, read one section at a time.

    Attributes:
      reference: as the user wrote it.
      model: what its config describes.
      config: ``config.json`` as it stands in the source (of a GGUF file: rebuilt).
      fingerprint: a sha256 that identifies the weights without reading all of them; the same on every run.
      weight_map: the file that holds each tensor, if the source is a Hugging Face folder.
    """

    reference: str
    model: CausalLM
    config: dict[str, Any]
    weight_map: Mapping[str, str] | None

    @property
    def fingerprint(self) -> str:
        """Identifies the weights."""
        ...

    def dtypes(self, section: str) -> dict[str, np.dtype]:
        """Returns the stored dtype of every parameter of ``section``."""
        ...

    def parameters(self, section: str, dtype: np.dtype | None = None) -> dict[str, StoredParameter]:
        """Returns the parameters of ``section``, each read when it is indexed, cast to ``dtype`` if one is given."""
        ...

    def read(self, section: str) -> dict[str, np.ndarray]:
        """Returns the parameters of ``section``, kernels ``[d_in, d_out]``.

        Raises:
          RequestError: a tensor cannot be read, or holds NaN or infinity.
        """
        ...

    def write_companions(self, folder: Path, dtype: np.dtype | None) -> None:
        """Writes config and tokenizer files to ``folder``, the config saying ``dtype`` if one is given."""
        ...

    def tokenizer(self) -> transformers.PreTrainedTokenizerBase:
        """Returns the tokenizer.

        Raises:
          MissingTokenizerError: there is none.
          RequestError: it cannot be built.
        """
        ...

    def generation_config(self) -> dict[str, Any]:
        """Returns what ``generation_config.json`` says (of a GGUF file: rebuilt); empty if there is none.

        Raises:
          RequestError: it is not a JSON object.
        """
        ...


@runtime_checkable
class CheckpointWriter(Protocol):
    """Writes a model one section at a time, in any order."""

    def write(self, section: str, params: Params) -> None:
        """Writes a section, cast to the output's dtype; again if it was written before.

        A tied table is written with the embedding; with the head it is passed over.
        """
        ...

    def finish(self) -> None:
        """Makes the whole readable."""
        ...
