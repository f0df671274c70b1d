"""Signal-to-noise ratios of a study, with and without windows: numbers, intervals, what is found and what is said."""

import numpy as np
import pytest

from jaxprune.evaluation.seed_spread import pool_spread
from jaxprune.studies.numbers.reading import read_measured
from jaxprune.studies.numbers.snr import energy, median_token, without_interval
from jaxprune.studies.report.depth_panels import depth_panels
from jaxprune.studies.report.method_words import methods_text
from jaxprune.studies.report.summary import summarise
from jaxprune.studies.report.summary_json import as_json
from jaxprune.studies.report.tables import tables
from tests.evaluation import convolution
from tests.studies.synthetic import Study, Truth, config

LANGUAGES = ("ar", "de", "en", "sw")
MIXTURES = LANGUAGES
READERS = {"energy": energy, "median": median_token}


def study(windows=10, seeds=(0, 1, 2)):
    asked = config(LANGUAGES, MIXTURES, seeds=seeds, windows=8, tasks=())
    asked["evaluation"]["snr"]["windows"] = windows
    return Study(asked, Truth())


def of_language(made, name, language):
    return made.results[name]["snr"]["languages"][language]


def forget_windows(made):
    """Leaves what studies had before windows were kept."""
    for name in made.results.keys() - {"dense"}:
        for of in made.results[name]["snr"]["languages"].values():
            del of["windows"], of["by_window"]


def cells_of(made, folder):
    [cells] = read_measured(made.read(folder)).cells.values()
    return cells


def by_hand(made, calibration, measure, block):
    """Returns, of German, by seed and window what the mean is of: medians, or jackknife pseudo-values of the ratio."""
    rows = []
    for seed in (0, 1, 2):
        by_window = of_language(made, f"wanda_0.5_{calibration}_seed{seed}", "de")["by_window"]
        signal, noise, median = (
            np.array([by_window[name][block]] if block else [*by_window[name].values()])
            for name in ("signal", "noise", "median_db")
        )
        if measure == "median":
            rows.append(median.mean(axis=0))
            continue
        signal, noise = signal.sum(axis=0), noise.sum(axis=0)
        without = 10 * np.log10((signal.sum() - signal) / (noise.sum() - noise))
        rows.append(len(signal) * 10 * np.log10(signal.sum() / noise.sum()) - (len(signal) - 1) * without)
    return np.array(rows)


@pytest.mark.parametrize("measure", READERS)
@pytest.mark.parametrize("block", [None, "4"])
def test_ratios_are_means_over_seeds_with_the_variances_of_windows_and_of_seeds(tmp_path, measure, block):
    made = study()
    found = READERS[measure](cells_of(made, tmp_path / "out"), "de", "de", block)
    rows = by_hand(made, "de", measure, block)
    of_windows = np.var(rows.mean(axis=0), ddof=1) / rows.shape[1]
    # As all four calibrations show it together.
    spread = pool_spread([by_hand(made, of, measure, block).mean(axis=1) for of in MIXTURES])
    of_seeds, freedom_of_seeds = spread.of(rows.mean(axis=1))
    of_seeds /= 3
    half = convolution.quantile((of_windows, rows.shape[1] - 1), (of_seeds, freedom_of_seeds))
    assert found.db == pytest.approx(rows.mean(), abs=1e-3)
    assert found.interval == pytest.approx((found.db - half, found.db + half), abs=0.03 * half)


@pytest.mark.parametrize("measure", READERS)
@pytest.mark.parametrize("case", ["no windows", "one seed without", "other number", "no change", "one window"])
def test_without_all_windows_there_is_a_number_and_no_interval(tmp_path, measure, case):
    made = study(windows=1 if case == "one window" else 10)
    of = of_language(made, "wanda_0.5_de_seed1", "de")
    if case == "no windows":
        forget_windows(made)
    elif case == "one seed without":
        del of["by_window"]
    elif case == "other number":
        of["by_window"] = {
            name: {block: values[:9] for block, values in by_block.items()}
            for name, by_block in of["by_window"].items()
        }
    elif case == "no change":
        of["by_window"]["noise"]["4"] = [0.0] * 10
        of["by_window"]["median_db"]["4"] = [None] * 10
        of["blocks"]["4"] = of["median_tokens"]["4"] = None
    found = READERS[measure](cells_of(made, tmp_path / "out"), "de", "de", "4")
    assert found.db == pytest.approx(19, abs=0.2)
    assert found.interval is None


def evidence(made, folder):
    [found] = [of for of in summarise(made.read(folder)).findings if "signal-to-noise" in of.claim]
    return found


def test_what_is_found_rests_on_the_median_and_names_where_energies_disagree(tmp_path):
    """German calibration has the highest median in German; its energy, made of a few tokens, is low."""
    made = study()
    for seed in (0, 1, 2):
        of_language(made, f"wanda_0.5_de_seed{seed}", "de")["overall"] = 1.0
    found = evidence(made, tmp_path / "out")
    assert found.verdict == "shown"
    assert found.evidence.startswith(
        "By the median token, mean over blocks, best among single languages in 4 of 4 cases (by chance in 1.0)."
    )
    assert (
        "By the energy of all tokens of all blocks together, which a few tokens dominate, it is otherwise: not for "
        "German (wanda 0.5: "
    ) in found.evidence
    assert "Against English, 3 of 3 are measurably higher and 0 measurably lower" in found.evidence


def test_energies_that_are_best_alone_show_nothing(tmp_path):
    """Calibrations that are alike by the median, and each best for its own language by energy."""
    made, rng = study(), np.random.default_rng(3)
    for name in made.results.keys() - {"dense"}:
        for language in LANGUAGES:
            of = of_language(made, name, language)
            known = {block: 17 + rng.normal(0, 0.1, 10) for block in of["blocks"]}
            of["by_window"]["median_db"] = {block: median_N.tolist() for block, median_N in known.items()}
            of["median_tokens"] = {block: median_N.mean() for block, median_N in known.items()}
    found = evidence(made, tmp_path / "out")
    assert found.verdict == "not shown"
    assert "it is otherwise: best for " in found.evidence
    assert "Against English, 0 of 3 are measurably higher and 0 measurably lower" in found.evidence


def test_agreement_is_said_too_and_older_studies_say_what_they_lack(tmp_path):
    made = study()
    assert (
        "By the energy of all tokens of all blocks together it is so in the same cases."
        in evidence(made, tmp_path / "new").evidence
    )
    forget_windows(made)
    told = evidence(made, tmp_path / "old").evidence
    assert "windows that were not kept one by one, do not say how certain that is" in told
    assert "Against English" not in told
    for name in made.results.keys() - {"dense"}:
        for of in made.results[name]["snr"]["languages"].values():
            del of["median_tokens"]
    told = evidence(made, tmp_path / "oldest").evidence
    assert told.startswith("By the energy of all tokens, best among single languages in 4 of 4 cases")
    assert "no median over tokens was measured" in told


def test_tables_figures_and_json_have_the_intervals(tmp_path):
    made = study()
    summary = summarise(made.read(tmp_path / "out"))
    [setting] = summary.measured.cells
    medians, energies = (table for table in tables(summary) if "signal-to-noise" in table.title)
    assert "median token" in medians.title
    assert "energies of all blocks" in energies.title
    assert "weights (all known, so exact)" in energies.title
    values = as_json(summary)["values"]["calibrations"]
    for calibration in values:
        assert calibration["snr"]["weights"] == 9.5
        for table, name, first in ((medians, "median_token", 1), (energies, "energy", 2)):
            [row] = [row for row in table.rows if row[0] == calibration["calibration"]]
            for cell, language in zip(row[first:], LANGUAGES, strict=True):
                ratio = calibration["snr"]["languages"][language][name]
                low, high = ratio["interval"]
                assert cell == f"{ratio['db']:.2f} [{low:.2f}, {high:.2f}]"
                assert low < ratio["db"] < high
    figures = {name: (panels, caption) for name, panels, caption in depth_panels(summary, setting)}
    assert list(figures) == ["snr-by-depth", "snr-of-energies-by-depth"]
    for (panels, caption), reader, what in zip(
        figures.values(), (median_token, energy), ("median", "energies"), strict=True
    ):
        assert "Bands are 95% intervals, for other windows and, of several seeds, for other seeds." in caption
        cells = summary.measured.cells[setting]
        for panel, own in zip(panels, (False, True), strict=True):
            assert what in panel.title
            for language, of_blocks in panel.intervals.items():
                wanted = [reader(cells, language if own else "en", language, str(i)) for i in range(6)]
                assert [(db, i) for db, i in zip(panel.decibels[language], of_blocks, strict=True)] == wanted


@pytest.mark.parametrize(
    ("windows", "said"), [(1, "no interval: measured on 1 window"), (2, "2 windows that were not")]
)
def test_studies_without_windows_are_read_and_say_so(tmp_path, windows, said):
    made = study(windows=windows)
    forget_windows(made)
    summary = summarise(made.read(tmp_path / "out"))
    assert said in without_interval(summary.study.config)
    found = [table for table in tables(summary) if "signal-to-noise" in table.title]
    assert len(found) == 2
    for table in found:
        assert said in table.title
        assert "[" not in "".join(cell for row in table.rows for cell in row)
    [setting] = summary.measured.cells
    for _, _, caption in depth_panels(summary, setting):
        assert said in caption.lower()
        assert "Bands" not in caption
    ratios = as_json(summary)["values"]["calibrations"][0]["snr"]["languages"]["de"]
    assert ratios["energy"]["interval"] is ratios["median_token"]["interval"] is None


@pytest.mark.parametrize(("windows", "told"), [
    (1, "Signal-to-noise ratios rest on 1 window of 512 tokens a language: they have no intervals"),
    (7, "Signal-to-noise ratios rest on 7 windows of 512 tokens a language: their intervals are wide"),
    (8, None),
])  # fmt: skip
def test_few_windows_are_a_caveat(tmp_path, windows, told):
    summary = summarise(study(windows=windows, seeds=(0,)).read(tmp_path / "out"))
    found = [caveat for caveat in summary.caveats if "Signal-to-noise" in caveat]
    assert [caveat.startswith(told or "") for caveat in found] == [True] * (told is not None)
    assert "1 windows" not in " ".join(methods_text(summary))
