"""Bootstrap intervals and ranks against published examples, independent computations and simulations."""

import numpy as np
import pytest
from scipy import stats

from earmark.analysis import statistics

# --- bootstrap


def test_resamples_draw_as_many_groups_as_there_are():
    weights = statistics.resample_groups(7, 1000, np.random.default_rng(0))
    assert weights.shape == (1000, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(7), abs=0.1)


@pytest.mark.parametrize("n_groups", [6, 10, 50])
def test_interval_of_a_mean_is_that_of_student(n_groups):
    """Expanded quantiles make the bootstrap interval of a normal mean the t interval (tolerance 10 % of width)."""
    values = stats.norm.ppf((np.arange(n_groups) + 0.5) / n_groups)
    weights = statistics.resample_groups(n_groups, 40_000, np.random.default_rng(0))
    ours = statistics.percentile_interval(weights @ values / n_groups, n_groups)
    reference = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    width = reference.high - reference.low
    assert ours == pytest.approx((reference.low, reference.high), abs=0.1 * width)


@pytest.mark.parametrize("n_groups", [6, 10, 50])
def test_quantiles_are_expanded_by_the_t_and_by_the_divisor_of_the_variance(n_groups):
    """A bootstrap has the variance s^2 / n with the divisor n: t sqrt(n / (n - 1)) of its deviations, for n - 1."""
    values = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    reach = stats.t.ppf(0.975, n_groups - 1) * np.sqrt(n_groups / (n_groups - 1))
    assert statistics.percentile_interval(values, n_groups) == pytest.approx((-reach, reach), rel=0.005)


def test_interval_covers_the_truth_of_clustered_clips():
    """12 groups of 6 to 20 clips, 1000 experiments: 95 % intervals hold the truth in 92 to 97 % of them."""
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(1000):
        n_clips = rng.integers(6, 21, 12)
        right = rng.binomial(n_clips, rng.beta(14, 6, 12))
        weights = statistics.resample_groups(12, 600, rng)
        low, high = statistics.percentile_interval(weights @ right / (weights @ n_clips), 12)
        covered += low <= 0.7 <= high
    assert 920 <= covered <= 970


def test_few_groups_have_no_interval():
    assert statistics.percentile_interval(np.linspace(0, 1, 100), 5) is None


def test_what_never_varies_has_no_interval():
    assert statistics.percentile_interval(np.ones(100), 20) is None


# --- ranks


def test_average_ranks_of_a_published_table():
    """AUC of four classifiers on 14 data sets (Demšar 2006, table 6).

    In print the third and fourth of data set `voting` are both .975, with ranks 2 and 3: hence .9751 here.
    """
    table = """
    .763 .768 .771 .798  .599 .591 .590 .569  .954 .971 .968 .967  .628 .661 .654 .657  .882 .888 .886 .898
    .936 .931 .916 .931  .661 .668 .609 .685  .583 .583 .563 .625  .775 .838 .866 .875  1 1 1 1
    .940 .962 .965 .962  .619 .666 .614 .669  .972 .981 .9751 .975  .957 .978 .946 .970"""
    ranks = statistics.average_ranks(np.array(table.split(), dtype=float).reshape(14, 4))
    assert ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)


def test_scores_that_differ_by_rounding_are_tied():
    """0.1 + 0.2 is not 0.3 in binary; a difference that counts of clips can make is no tie (bug 18)."""
    assert statistics.average_ranks(np.array([[0.1 + 0.2, 0.3, 0.2]])) == pytest.approx([1.5, 1.5, 3.0])
    assert statistics.average_ranks(np.array([[0.8, 0.8 + 1e-6]])) == pytest.approx([2.0, 1.0])
