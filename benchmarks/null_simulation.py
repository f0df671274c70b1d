"""Asks how often a study in which no calibration differs claims that one does, where seeds matter unlike.

Draws studies of 16 calibrations, eight languages and two seeds, all calibrations equal but for the variance of their
seeds, which scatters as an inverse chi-square with some degrees of freedom; compares each calibration with the first
one by the tests of a study; and again with one variance for all. Printed are the share of p-values below 0.05, which
should be 5 %, and the share of studies that claim anything after Holm's correction, which should be 5 % at most.

    python benchmarks/null_simulation.py --studies 60
"""

import argparse
import math

import numpy as np

from jaxprune.evaluation.seed_spread import Spread, pool_spreads
from jaxprune.evaluation.seeds import Part, criterion_over_seeds
from jaxprune.evaluation.significance import holm

CALIBRATIONS, LANGUAGES, SEEDS, ITEMS = 16, 8, 2, 40
FREEDOMS = (math.inf, 7.0, 4.6, 3.0)
# Of the mean over items, in standard deviations of a seed.
ITEM_NOISE = (0.0, 1.0, 3.0)


def simulate(rng: np.random.Generator, freedom: float, noise: float) -> tuple[dict[str, float], dict[str, float]]:
    """Returns the p-values of one study: with the variances that a study's tests take, and with one for all."""
    size = (LANGUAGES, CALIBRATIONS, 1)
    variances = np.ones(size) if math.isinf(freedom) else freedom / rng.chisquare(freedom, size)
    values = rng.normal(0, 1, (LANGUAGES, CALIBRATIONS, SEEDS)) * np.sqrt(variances)
    moderated: dict[str, float] = {}
    pooled: dict[str, float] = {}
    for language, spread in enumerate(pool_spreads([list(of) for of in values])):
        within = float(values[language].var(axis=1, ddof=1).mean())
        alike = Spread(within, math.inf, float(CALIBRATIONS * (SEEDS - 1)))
        for other in range(1, CALIBRATIONS):
            items_N = rng.normal(0, noise * math.sqrt(ITEMS / 2), ITEMS)
            first, second = (
                values[language, which][:, None] + of_N for which, of_N in ((other, items_N), (0, 0 * items_N))
            )
            parts = [Part(1.0, first, second, np.ones(ITEMS))]
            for found, known in ((moderated, spread), (pooled, alike)):
                found[f"{language} {other}"] = criterion_over_seeds(parts, spread=known).p_value
    return moderated, pooled


def main() -> None:
    """Draws, counts, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=60, help="of each kind")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"{'':>18} {'variances of a study':>22} {'one variance':>22}")
    print(f"{'freedom':>8} {'items':>9} {'p < 0.05':>11} {'studies':>10} {'p < 0.05':>11} {'studies':>10}")
    for freedom in FREEDOMS:
        for noise in ITEM_NOISE:
            drawn = [simulate(rng, freedom, noise) for _ in range(args.studies)]
            told = ""
            for which in (0, 1):
                single = np.mean([p_value < 0.05 for study in drawn for p_value in study[which].values()])
                whole = np.mean([min(holm(study[which]).values()) < 0.05 for study in drawn])
                told += f" {single:>11.1%} {whole:>10.0%}"
            print(f"{freedom:>8g} {noise:>9g}{told}", flush=True)


if __name__ == "__main__":
    main()
