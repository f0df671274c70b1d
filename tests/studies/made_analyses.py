"""Results of analyses with planted numbers, as ``jaxprune analyze`` writes them."""

import itertools

import numpy as np
import scipy.stats

from jaxprune.analysis.gates import GateCounts
from jaxprune.analysis.lape import Thresholds
from jaxprune.analysis.neurons import as_json
from jaxprune.analysis.silencing import Effect, Effects
from jaxprune.evaluation.intervals import Estimate
from jaxprune.jobs.analyze_masks import analyze_masks
from jaxprune.jobs.mask_runs import open_runs
from jaxprune.microbatches import Microbatch
from jaxprune.models import build_model
from tests.analysis.mask_files import block_masks, write_run
from tests.tiny import tiny_config

LANGUAGES = ("de", "en", "sw")


def masks(folder, *, by_language=0.3, by_seed=0.05):
    """Returns the comparison of prunings in two languages and two seeds, of which as many weights differ."""
    rng = np.random.default_rng(0)
    common = block_masks(rng, 2, kept=0.5)
    runs = []
    for language, seed in itertools.product(("de", "en"), (0, 1)):
        changed = {}
        for name, mask in common.items():
            of_language = np.random.default_rng([1, ord(language[0])]).random(mask.shape) < by_language
            of_seed = rng.random(mask.shape) < by_seed
            flipped = np.random.default_rng([2, ord(language[0])]).random(mask.shape) < 0.5
            changed[name] = np.where(of_language | of_seed, flipped ^ (of_seed & (rng.random(mask.shape) < 0.5)), mask)
        place = folder / f"{language}{seed}"
        runs.append(write_run(place, changed, languages={language: 8}, seed=seed, num_heads=6))
    return analyze_masks(open_runs(runs))


def subspaces(*, agnostic=6.0, specific=10.0, own=1.5, blocks=3):
    """Returns hidden states of a dense model and two prunings: ratios in either part, and what one's own text adds."""
    return {
        "texts": "sample",
        "languages": list(LANGUAGES),
        "tokens": dict.fromkeys(LANGUAGES, 4000),
        "length": 512,
        "hidden_size": 640,
        "rank": 2,
        "sentences": dict.fromkeys(LANGUAGES, 50),
        "models": [
            {
                "label": label,
                "reference": "a-model",
                "pruned": how,
                "retrieval_gain": gain(0.2),
                "blocks": [_block(how, agnostic, specific, own)] * blocks,
            }
            for label, how in (
                ("dense", None),
                ("en · wanda", {"languages": "en", "method": "wanda", "pattern": "0.5", "seed": "seed 0"}),
                ("de · wanda", {"languages": "de", "method": "wanda", "pattern": "0.5", "seed": "seed 0"}),
            )
        ],
        "notes": ["one note"],
    }


def _block(how, agnostic, specific, own):
    change = None
    if how is not None:
        change = {
            "angles": [5.0, 8.0],
            "squared_cosine": 0.95,
            "shared_angle": 3.0,
            "snr_db": {
                language: {
                    "whole": agnostic,
                    "agnostic": agnostic,
                    "specific": specific + own * (language == how["languages"] != "en"),
                }
                for language in LANGUAGES
            },
            "alignment": dict.fromkeys(LANGUAGES, 0.9),
        }
        # The mean that all share is nine tenths of the specific part, and a half of the other.
        change["centred_snr_db"] = {
            language: {**of, "agnostic": of["agnostic"] - 3.0, "specific": of["specific"] - 10.0}
            for language, of in change["snr_db"].items()
        }
    by_part = {"whole": 0.4, "agnostic": 0.6, "specific": 0.1}
    known = {"whole": 0.9, "agnostic": 0.35, "specific": 0.98}
    return {
        "rank": 2,
        "stability": 0.97,
        "stability_angles": [4.0, 12.0],
        "energy": dict.fromkeys(LANGUAGES, 12.0),
        "specific_share": dict.fromkeys(LANGUAGES, 0.2),
        "common_share": {"agnostic": 0.5, "specific": 0.9},
        "change": change,
        "sentences": {
            "retrieval_gain": gain(0.2),
            "retrieval": {part: dict.fromkeys(LANGUAGES, value) for part, value in by_part.items()},
            "identification": {part: dict.fromkeys(LANGUAGES, value) for part, value in known.items()},
            "alignment": {"de-en": 0.8, "de-sw": 0.7, "en-sw": 0.7},
        },
    }


def gain(value, *, error=0.02):
    """Returns a mean over sentences with that standard error."""
    p_value = 2 * float(scipy.stats.norm.sf(abs(value) / error))
    return {"value": value, "interval": [value - 2 * error, value + 2 * error], "p_value": p_value, "items": 50}


def neurons(*, is_causal=True):
    """Returns neurons of a dense and a pruned model, of which a few open for one language only."""
    model = build_model(tiny_config("llama", num_hidden_layers=2, intermediate_size=100))
    rng = np.random.default_rng(3)
    counts = {}
    for label in ("dense", "de · wanda"):
        counts[label] = GateCounts(LANGUAGES, model)
        for (number, language), block in itertools.product(enumerate(LANGUAGES), range(2)):
            open_for = np.full(100, 0.4)
            open_for[:6] = np.where(np.arange(6) // 2 == number, 0.9, 0.0)
            batch = Microbatch(np.zeros((4, 500), np.int32), np.ones(4, np.float32), language)
            counts[label].accumulate(block, batch, rng.binomial(500, open_for, (4, 100)).astype(np.int32))
    silencing = {label: _silencing() for label in counts} if is_causal else {}
    models = [{"label": label, "reference": "a-model", "pruned": None} for label in counts]
    text = {"texts": "sample", "languages": list(LANGUAGES)}
    return {"models": models, **text, **as_json(counts, Thresholds(top_rate=0.06), silencing, length=500)}


def _silencing():
    def effect(values):
        return Effect(
            [[0, 1], [2, 3]],
            {
                code: Estimate(value, (value - 0.1, value + 0.1), 0.002 if value > 0.1 else 0.5, 8)
                for code, value in values.items()
            },
        )

    return {
        silenced: Effects(
            effect({code: 0.8 if code == silenced else 0.05 for code in LANGUAGES}),
            effect(dict.fromkeys(LANGUAGES, 0.01)),
            Estimate(0.79, (0.7, 0.88), 0.001, 8),
        )
        for silenced in LANGUAGES
    }
