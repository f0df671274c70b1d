"""A checkpoint made of tensors with Hugging Face names, wherever these are stored."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from jaxprune.checkpoints.checks import check_tensors
from jaxprune.checkpoints.companions import Companions
from jaxprune.checkpoints.stored_parameter import StoredParameter
from jaxprune.checkpoints.tensors import TensorStore
from jaxprune.models.causal_lm import CausalLM


class TensorCheckpoint:
    """A ``Checkpoint`` over a ``TensorStore``."""

    def __init__(
        self,
        reference: str,
        model: CausalLM,
        store: TensorStore,
        companions: Companions,
        *,
        weight_map: Mapping[str, str] | None = None,
        ignored: Collection[str] = (),
    ):
        """Compares what is stored with what the config asks for.

        Args:
          reference: as the user wrote it.
          model: what the config describes.
          store: the weights.
          companions: config and tokenizer.
          weight_map: the file that holds each tensor, if the writer is to keep them so.
          ignored: stored tensors that the model has no use for.

        Raises:
          RequestError: a tensor is missing, left over, or not what the config says.
        """
        check_tensors(model, store.specs, reference, ignored=ignored)
        self.reference = reference
        self.model = model
        self.config: dict[str, Any] = dict(companions.config)
        self.weight_map = weight_map
        self._store = store
        self._companions = companions
        self._fingerprint: str | None = None

    @property
    def fingerprint(self) -> str:
        """Identifies the weights."""
        if self._fingerprint is None:
            self._fingerprint = self._store.fingerprint
        return self._fingerprint

    def dtypes(self, section: str) -> dict[str, np.dtype]:
        """Returns the stored dtype of every parameter of ``section``."""
        return {path: self._store.specs[tensor.name].dtype for path, tensor in self.model.tensors(section).items()}

    def parameters(self, section: str, dtype: np.dtype | None = None) -> dict[str, StoredParameter]:
        """Returns the parameters of ``section``, each read when it is indexed, cast to ``dtype`` if one is given."""
        return {
            path: StoredParameter(self._store, tensor, dtype, self.reference)
            for path, tensor in self.model.tensors(section).items()
        }

    def read(self, section: str) -> dict[str, np.ndarray]:
        """Returns the parameters of ``section``; kernels are transposed views of what is stored."""
        return {path: parameter[()] for path, parameter in self.parameters(section).items()}

    def write_companions(self, folder: Path, dtype: np.dtype | None) -> None:
        """Writes config and tokenizer files to ``folder``, the config saying ``dtype`` if one is given."""
        self._companions.write(folder, dtype)

    def tokenizer(self) -> transformers.PreTrainedTokenizerBase:
        """Returns the tokenizer."""
        return self._companions.tokenizer()

    def generation_config(self) -> dict[str, Any]:
        """Returns what ``generation_config.json`` says; empty if there is none."""
        return self._companions.generation_config()
