"""Asks whether two seeds of one calibration come out alike, as they should: a null study on a study's own numbers.

Every calibration of a finished study is split into its seeds, which are compared as if they were two calibrations, by
the report's own test; what a seed changes is taken from the other calibrations of the setting, as a report takes it.
Of tests at 5 %, about 5 % should reject before Holm's correction, and none after it.

    python benchmarks/null_study.py results/gemma3_270m
"""

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

from jaxprune.studies.numbers.comparisons import ALPHA, compare, corrected
from jaxprune.studies.numbers.reading import read_measured
from jaxprune.studies.numbers.spreads import spreads_among
from jaxprune.studies.points.results import read_study


def null_tests(study: Path) -> list[dict[str, Any]]:
    """Returns the tests of each two seeds of one calibration, with p-values before and after Holm's correction."""
    measured = read_measured(read_study(study))
    found = {}
    for setting, cells in measured.cells.items():
        for measure, (name, cell) in itertools.product(measured.measures, cells.items()):
            if measure.is_pooled:
                continue
            others = [of.scores for other, of in cells.items() if other != name]
            spreads = spreads_among(
                {language: [of.get(language, {}) for of in others] for language in measured.languages}, measure
            )
            for language in measured.languages:
                scores = cell.scores.get(language, {}).get(measure.name)
                for a, b in itertools.combinations(scores.seeds if scores else (), 2):
                    first, second = ({measure.name: scores.of_seeds([seed])} for seed in (a, b))
                    difference = compare(first, second, measure, spread=spreads[language])
                    if difference is not None:
                        found[str(setting), name, language, measure.name, a, b] = difference
    p_values = corrected({key: difference.p_value for key, difference in found.items()})
    names = ("setting", "calibration", "language", "measure", "seed", "other_seed")
    return [
        {**dict(zip(names, key, strict=True)), "difference": difference.value, "p": difference.p_value,
         "p_corrected": p_values[key], "test": difference.test}
        for key, difference in found.items()
    ]  # fmt: skip


def main() -> None:
    """Compares, counts, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="folder of a study with two seeds or more")
    parser.add_argument("--json", type=Path, help="file to write all tests to")
    args = parser.parse_args()
    tests = null_tests(args.study)
    if not tests:
        raise SystemExit(f"{args.study} has no calibration with two seeds yet.")
    print(f"{'setting':<16} {'measure':<18} {'tests':>5} {'p < 0.05':>9} {'after Holm':>11}")
    for setting, measure in dict.fromkeys((of["setting"], of["measure"]) for of in tests):
        of_group = [of for of in tests if (of["setting"], of["measure"]) == (setting, measure)]
        before, after = (sum(of[which] < ALPHA for of in of_group) for which in ("p", "p_corrected"))
        print(f"{setting:<16} {measure:<18} {len(of_group):>5} {before / len(of_group):>8.1%} {after:>11}")
    if args.json:
        args.json.write_text(json.dumps(tests, indent=1) + "\n")


if __name__ == "__main__":
    main()
