"""Turns what was asked (languages, texts, numbers) into calibration sequences."""

import logging

from jaxprune.checkpoints.checkpoint import Checkpoint
from jaxprune.data import check_texts, open_texts
from jaxprune.data.calibration import Calibration, check_draw, draw_calibration, load_tokens, parse_mix
from jaxprune.data.token_files import TOKENS
from jaxprune.errors import RequestError
from jaxprune.pruning.method import PruningMethod

_logger = logging.getLogger(__name__)


def calibrate(
    checkpoint: Checkpoint,
    method: PruningMethod,
    mix: str | None,
    texts: str | None,
    *,
    samples: int | None,
    length: int,
    seed: int,
    fill: str,
) -> Calibration | None:
    """Returns the calibration sequences; None for a method that needs none.

    Raises:
      RequestError: something needed is not named, or the source lacks a language or enough text.
    """
    sequences = check_request(method, mix, texts, samples=samples, seed=seed, fill=fill)
    if method.statistic is None:
        if mix is not None or texts is not None:
            _logger.info("%s uses no calibration text; --calibration and --texts have no effect", method.name)
        return None
    assert texts is not None
    if sequences is None:
        if mix is not None:
            _logger.info("%s is used exactly as it is; --calibration has no effect", texts)
        return load_tokens(texts.removeprefix(TOKENS), samples=samples)
    return draw_calibration(open_texts(texts), checkpoint.tokenizer(), sequences, length=length, seed=seed, fill=fill)


def check_request(
    method: PruningMethod, mix: str | None, texts: str | None, *, samples: int | None, seed: int, fill: str
) -> dict[str, int] | None:
    """Returns the sequences by language that ``calibrate`` will draw; None where it draws none.

    Raises:
      RequestError: something is wrong that can be known without a model: a word that is not understood, numbers that
        contradict each other, a file or a folder that is not there, or something needed that is not named.
    """
    check_draw(fill, seed)
    if method.statistic is None:
        return None
    if texts is None:
        raise RequestError(
            f"{method.name} needs calibration text; say where it comes from with --texts, for example --texts sample."
        )
    check_texts(texts)
    if texts.startswith(TOKENS):
        return None
    if mix is None:
        raise RequestError(
            f"{method.name} needs calibration languages; choose them with --calibration, for example "
            "--calibration de,en."
        )
    return parse_mix(mix, samples)
