"""Compares the tensors that a checkpoint holds with those that its config asks for."""

from collections.abc import Collection, Iterable, Mapping

from jaxprune.checkpoints.tensors import WEIGHT_DTYPES, TensorSpec
from jaxprune.errors import RequestError
from jaxprune.models.causal_lm import HEAD, CausalLM, Tensor

# Older checkpoints store what is computed from the config: the rotary frequencies.
_COMPUTED = (".rotary_emb.inv_freq",)


def shortened(names: Iterable[str]) -> str:
    """Returns the first three names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def wanted_tensors(model: CausalLM) -> dict[str, Tensor]:
    """Returns by their Hugging Face names the tensors that a checkpoint of ``model`` holds."""
    return {tensor.name: tensor for section in model.sections for tensor in model.owned_tensors(section).values()}


def redundant_heads(model: CausalLM, names: Collection[str]) -> list[str]:
    """Returns which of ``names`` are output layers of a model whose output layer is its embedding table."""
    used = {tensor.name for tensor in model.tensors(HEAD).values()}
    heads = {name for path, name in model.family.names.items() if path.startswith(f"{HEAD}/")} - used
    return sorted(heads & set(names))


def check_tensors(
    model: CausalLM, specs: Mapping[str, TensorSpec], what: str, *, ignored: Collection[str] = ()
) -> None:
    """Compares what is stored with what the config asks for, except those ``ignored``.

    ``what`` names the checkpoint in messages.

    Raises:
      RequestError: a tensor is missing, has another shape, a dtype that is not supported, or is left over.
    """
    wanted = wanted_tensors(model)
    missing = [name for name in wanted if name not in specs]
    if missing:
        raise RequestError(
            f"{what} lacks {_count(missing)} that its config.json asks for: {shortened(missing)}; "
            "the checkpoint is incomplete, or the config is another model's: fetch both again."
        )
    shapes = [
        f"{name} is {list(specs[name].shape)} and should be {list(tensor.shape)}"
        for name, tensor in wanted.items()
        if specs[name].shape != tensor.shape
    ]
    if shapes:
        raise RequestError(
            f"{what} has {_count(shapes)} of another shape than its config.json says: {shortened(shapes)}; "
            "the checkpoint is damaged, or the config is another model's: fetch both again."
        )
    dtypes = [f"{name} is stored as {specs[name].dtype}" for name in wanted if specs[name].dtype not in WEIGHT_DTYPES]
    if dtypes:
        raise RequestError(
            f"{what} has {_count(dtypes)} in a precision that is not supported: {shortened(dtypes)}; "
            f"give a checkpoint in {', '.join(map(str, WEIGHT_DTYPES))}."
        )
    left = [name for name in specs if name not in wanted and name not in ignored and not name.endswith(_COMPUTED)]
    if left:
        raise RequestError(
            f"{what} has {_count(left)} that its config.json has no place for: {shortened(left)}; they "
            "would be lost, so remove them if they are not wanted, or correct the config."
        )


def _count(items: Collection[str]) -> str:
    return f"{len(items)} tensor{'s' if len(items) > 1 else ''}"
