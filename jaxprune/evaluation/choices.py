"""Which of several choices a model makes, by each way to weigh likelihoods of unequal texts.

The ways are lm-evaluation-harness's (Gao et al., https://github.com/EleutherAI/lm-evaluation-harness), and so are their
names. An item is right by a metric if the choice is its answer.

Shapes: C choices of an item.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jaxprune.errors import RequestError


def choice_metrics(
    nats_C: Float[np.ndarray, " C"], unconditional_nats_C: Float[np.ndarray, " C"] | None, choices: Sequence[str]
) -> dict[str, int]:
    """Returns the index of the choice made by each metric; of choices that are equally good, the first.

    - ``acc``: the likeliest;
    - ``acc_norm``: the likeliest for its length in characters, so that short ones have no advantage;
    - ``acc_bytes``: the likeliest for its length in UTF-8 bytes;
    - ``acc_mutual_info``: the one that the context makes so much likelier than it is without one. White space in which
      a context ends is what the harness calls the target delimiter: choices have it before them without a context, too.

    Args:
      nats_C: log-likelihoods after the context.
      unconditional_nats_C: without a context; None leaves ``acc_mutual_info`` out.
      choices: the texts; what only separates them from the context (a space) left out, because it has no length there.

    Raises:
      RequestError: a choice is empty, and so has no length to divide by.
    """
    if "" in choices:
        raise RequestError(f"choice {choices.index('') + 1} is empty; give each a text.")
    weighed = {
        "acc": nats_C,
        "acc_norm": nats_C / np.asarray([len(choice) for choice in choices]),
        "acc_bytes": nats_C / np.asarray([len(choice.encode("utf-8")) for choice in choices]),
    }
    if unconditional_nats_C is not None:
        weighed["acc_mutual_info"] = nats_C - unconditional_nats_C
    return {metric: int(np.argmax(of_metric)) for metric, of_metric in weighed.items()}
