"""The backend by its name: the model that ``--model_args`` describes in words."""

import jax
from lm_eval.api.registry import register_model

from jaxprune.checkpoints import open_checkpoint
from jaxprune.errors import RequestError
from jaxprune.harness.language_model import BATCH_SIZE, CheckpointLM
from jaxprune.resources import parse_compute_dtype, parse_gigabytes
from jaxprune.sharding import make_mesh


@register_model("jaxprune")
class JaxpruneLM(CheckpointLM):
    """A model that jaxprune can open, as lm-evaluation-harness sees it."""

    def __init__(
        self,
        pretrained: str,
        *,
        data: int | None = None,
        model: int = 1,
        dtype: str | None = None,
        host_memory: float | None = None,
        max_length: int | None = None,
        max_gen_toks: int = 256,
        prefix_token_id: int | None = None,
        seed: int = 0,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
    ):
        """Opens the model.

        Args:
          pretrained: a model reference, as on jaxprune's command line.
          data: devices that share the sequences; None: as many as ``model`` leaves.
          model: devices that share each kernel.
          dtype: of all computation, ``float32`` or ``bfloat16``; None: float32 on a CPU, bfloat16 on an accelerator.
          host_memory: gigabytes of hidden states that may lie in memory; None: half of what the machine has.
          max_length: tokens of context and continuation; None: what the configuration says.
          max_gen_toks: tokens to generate where a task does not say.
          prefix_token_id: stands for an empty context; None: BOS, or else EOS.
          seed: of sampling.
          batch_size: sequences continued at a time on each device; likelihoods are batched by their lengths.
          max_batch_size: with ``batch_size`` ``auto``, at most so many.
          device: not used: the harness names one whatever is there, and JAX finds its devices itself.

        Raises:
          RequestError: the model cannot be opened, or one of the settings makes no sense.
        """
        del device
        for name, number in {
            "data": data,
            "model": model,
            "max_length": max_length,
            "max_gen_toks": max_gen_toks,
        }.items():
            if number is not None and (type(number) is not int or number < 1):
                raise RequestError(f"{name}={number!r} is no number of them; give 1 or more.")
        super().__init__(
            open_checkpoint(str(pretrained)),
            mesh=make_mesh({"data": data or max(1, jax.device_count() // model), "model": model}),
            dtype=parse_compute_dtype(dtype, option="dtype"),
            host_bytes=parse_gigabytes(host_memory, option="host_memory"),
            max_length=max_length,
            max_gen_toks=max_gen_toks,
            prefix_token_id=prefix_token_id,
            seed=seed,
            batch_size=_parse_batch_size(batch_size, max_batch_size),
        )


def _parse_batch_size(batch_size: int | str | None, max_batch_size: int | None) -> int:
    if batch_size is None or str(batch_size).startswith("auto"):
        return max_batch_size or BATCH_SIZE
    if not str(batch_size).isdecimal() or int(batch_size) < 1:
        raise RequestError(f"batch_size={batch_size!r} is no number of sequences; give 1 or more, or auto.")
    return int(batch_size)
