"""What a seed changes: the likelihood is scipy's, one variance for all is found where it is, and unlike ones are."""

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats

from jaxprune.evaluation.seed_spread import Spread, pool_spread, pool_spreads
from jaxprune.evaluation.seeds import Part, criterion_over_seeds
from jaxprune.evaluation.significance import holm


def draw(rng, freedom, *, families=8, calibrations=16, seeds=2):
    """Returns values by family, calibration and seed, with variances that scatter as an inverse chi-square."""
    size = (families, calibrations, 1)
    variances = np.ones(size) if np.isinf(freedom) else freedom / rng.chisquare(freedom, size)
    return rng.normal(0, 1, (families, calibrations, seeds)) * np.sqrt(variances)


def by_scipy(values_FCS):
    """Returns the mean inverse of the degrees of freedom, and the common variances at it, by scipy's F distribution."""
    seeds = values_FCS.shape[-1]

    def fit(inverse, s2_C):
        def cost(log_common):
            scaled = s2_C / np.exp(log_common)
            found = scipy.stats.f.logpdf(scaled, seeds - 1, 1 / inverse) - log_common
            return -found.sum()

        return scipy.optimize.minimize_scalar(cost, (-1.0, 1.0), tol=1e-10)

    s2_FC = values_FCS.var(axis=2, ddof=1)
    inverses = (np.arange(200) + 0.5) / 200
    logs = np.asarray([sum(-fit(inverse, s2_C).fun for s2_C in s2_FC) for inverse in inverses])
    weights = (1 - inverses) ** 3 * np.exp(logs - logs.max())
    inverse = float(inverses @ weights / weights.sum())
    return inverse, [float(np.exp(fit(inverse, s2_C).x)) for s2_C in s2_FC]


@pytest.mark.parametrize(("freedom", "seeds"), [(4.0, 2), (3.0, 4), (30.0, 3)])
def test_the_likelihood_is_that_of_an_f_distribution(freedom, seeds):
    values_FCS = 0.01 * draw(np.random.default_rng(seeds), freedom, families=3, seeds=seeds)
    inverse, variances = by_scipy(values_FCS)
    found = pool_spreads([list(values_CS) for values_CS in values_FCS])
    assert [1 / of.freedom for of in found] == pytest.approx([inverse] * 3, abs=0.003)
    assert [of.variance for of in found] == pytest.approx(variances, rel=0.005)


def test_what_was_planted_is_found():
    rng = np.random.default_rng(0)
    for freedom, (low, high) in {3.0: (2.5, 3.6), 6.0: (5, 7.5), np.inf: (50, np.inf)}.items():
        values = draw(rng, freedom, families=40, calibrations=50, seeds=3)
        spreads = pool_spreads([list(of) for of in values])
        assert low < spreads[0].freedom < high
        assert np.mean([of.variance for of in spreads]) == pytest.approx(1, rel=0.1)


def test_where_seeds_matter_alike_it_is_nearly_the_pooled_variance():
    """The mean square within groups of an analysis of variance, with its degrees of freedom."""
    alike = Spread(2.0, np.inf, 80.0)
    assert alike.of(np.asarray([1.0, 7.0])) == pytest.approx((2.0, 80))
    values = draw(np.random.default_rng(0), np.inf, families=300, calibrations=40, seeds=3)
    found = pool_spreads([list(of) for of in values])
    # However much says so, a calibration's own two degrees of freedom keep a little weight beside a hundred.
    assert found[0].freedom > 50
    for spread, of in zip(found, values, strict=True):
        assert spread.variance == pytest.approx(np.mean(of.var(axis=1, ddof=1)), rel=0.05)
        assert spread.known == pytest.approx(80, rel=0.08)


def test_a_calibration_is_believed_more_the_more_seeds_it_has():
    spread = Spread(1.0, 4.0, 1e9)
    assert spread.of(np.asarray([3.0])) == pytest.approx((1.0, 4.0))
    # Four degrees of freedom that say 1, one that says 18.
    assert spread.of(np.asarray([0.0, 6.0])) == pytest.approx(((4 * 1 + 18) / 5, 5.0))
    many = np.random.default_rng(0).normal(0, 5, 2000)
    variance, freedom = spread.of(many)
    assert variance == pytest.approx(many.var(ddof=1), rel=0.01)
    assert freedom == pytest.approx(2003)


def test_one_calibration_knows_what_its_own_seeds_say():
    values = np.asarray([1.0, 2.0, 6.0])
    spread = pool_spread([values])
    assert spread is not None
    assert spread.of(values) == pytest.approx((values.var(ddof=1), 2))


def test_without_seeds_nothing_is_known():
    assert pool_spread([np.ones(1), np.zeros(1)]) is None
    assert pool_spreads([[], [np.ones(1)]]) == [None, None]


def test_seeds_that_change_nothing():
    """Of few answers most pairs of seeds agree to the last digit; pruned by magnitude, all do."""
    found = pool_spreads([[np.ones(2)] * 4, [np.asarray([0.0, 0.1])] + [np.ones(2)] * 9])
    none, some = found
    assert none is not None
    assert none.of(np.ones(2))[0] == 0
    assert some is not None
    assert 0 < some.variance < 0.005
    assert np.isfinite(some.of(np.ones(2))).all()


@pytest.mark.parametrize(
    ("freedom", "noise", "single", "family"),
    [(np.inf, 0.0, 0.06, 0.08), (4.6, 0.0, 0.075, 0.12), (3.0, 1.0, 0.06, 0.08)],
)
def test_equal_calibrations_come_out_equal_though_seeds_matter_unlike(freedom, noise, single, family):
    """Of whole studies in which nothing differs, few claim anything, whether items add noise of their own or not.

    With one variance for all calibrations one in four would, and with Satterthwaite's degrees of freedom one in eight.
    """
    rng = np.random.default_rng(1)
    studies, found, claims = 60, [], 0
    counts_N = np.ones(20)
    for _ in range(studies):
        values = draw(rng, freedom, families=4)
        p_values = {}
        for number, (spread, of) in enumerate(zip(pool_spreads([list(of) for of in values]), values, strict=True)):
            for other in range(1, 16):
                # Of the mean over items, as much as of a mean over seeds.
                items_N = rng.normal(0, noise * np.sqrt(20 / 2), 20)
                pair = [of[index][:, None] + noise_N for index, noise_N in ((other, items_N), (0, 0 * items_N))]
                result = criterion_over_seeds([Part(1.0, *pair, counts_N)], spread=spread)
                p_values[f"{number} {other}"] = result.p_value
        found += [p_value < 0.05 for p_value in p_values.values()]
        claims += min(holm(p_values).values()) < 0.05
    assert 0.02 < np.mean(found) < single
    assert claims / studies <= family
