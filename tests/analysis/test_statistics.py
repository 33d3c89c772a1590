"""Statistics against published examples, independent computations, and simulations under the null."""

import itertools

import numpy as np
import pytest
from scipy import stats

from earmark.analysis import statistics


def correlated(rng, n_experiments, n_units, ratio):
    """Differences (n, J) of variance 1 with the correlation that Nadeau and Bengio assume."""
    rho = ratio / (1 + ratio)
    shared = rng.normal(size=(n_experiments, 1))
    return np.sqrt(rho) * shared + np.sqrt(1 - rho) * rng.normal(size=(n_experiments, n_units))


# --- corrected resampled t-test


def test_without_overlap_it_is_the_t_test_of_scipy():
    differences = np.random.default_rng(0).normal(0.3, 1, 12)
    ours, reference = statistics.corrected_t_test(differences, 0.0), stats.ttest_1samp(differences, 0.0)
    interval = reference.confidence_interval(0.95)
    assert ours.p == pytest.approx(reference.pvalue, rel=1e-12)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), rel=1e-12)


def test_corrected_t_is_generalised_least_squares_under_its_covariance():
    """Under covariance s2 ((1 - rho) I + rho 11'), the GLS estimate of the mean over its error is the same t."""
    differences, ratio = np.random.default_rng(1).normal(0.2, 1, 10), 1 / 9
    rho = ratio / (1 + ratio)
    shape = (1 - rho) * np.eye(10) + rho
    inverse, ones = np.linalg.inv(shape), np.ones(10)
    information = ones @ inverse @ ones
    mean = ones @ inverse @ differences / information
    residual = differences - mean
    t = mean / np.sqrt(residual @ inverse @ residual / 9 / information)
    expected = 2 * stats.t.sf(abs(t), 9)
    assert statistics.corrected_t_test(differences, ratio).p == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("n_units", "ratio"), [(5, 0.25), (10, 1 / 9), (3, 0.5)])
def test_corrected_t_test_holds_its_level(n_units, ratio):
    differences = correlated(np.random.default_rng(2), 20_000, n_units, ratio)
    result = statistics.corrected_t_test(differences, ratio)
    assert 0.045 < np.mean(result.p < 0.05) < 0.055
    assert 0.945 < np.mean((result.low < 0) & (result.high > 0)) < 0.955


def test_uncorrected_t_test_would_not_hold_its_level():
    differences = correlated(np.random.default_rng(2), 20_000, 10, 1 / 9)
    assert np.mean(statistics.corrected_t_test(differences, 0.0).p < 0.05) > 0.1


def cross_validated(rng, n_experiments, n_folds):
    """Differences (n, folds) in accuracy of two nearest-centroid classifiers that are equally good.

    Each experiment draws 100 clips of two classes; the classifiers see ten features each, alike but not the same.
    """
    labels = np.arange(100) % 2
    differences = np.empty((n_experiments, n_folds))
    for row in differences:
        features = rng.normal(size=(2, 100, 10)) + 0.25 * labels[:, None]
        fold_of = rng.permutation(100) % n_folds
        for fold in range(n_folds):
            test, train = fold_of == fold, fold_of != fold
            ones, zeros = (features[:, train & (labels == c)].mean(axis=1, keepdims=True) for c in (1, 0))
            ahead = ((features[:, test] - (ones + zeros) / 2) * (ones - zeros)).sum(axis=-1)
            first, second = ((ahead > 0) == labels[test]).mean(axis=1)
            row[fold] = first - second
    return differences


def test_corrected_t_test_of_retrained_classifiers_does_not_claim_too_much():
    differences = cross_validated(np.random.default_rng(4), 1000, 5)
    rates = [np.nanmean(statistics.corrected_t_test(differences, ratio).p < 0.05) for ratio in (0.25, 0.0)]
    assert 0.01 < rates[0] < 0.05
    assert rates[1] > 0.07


def test_seeds_are_averaged_because_as_separate_pairs_they_would_flatter():
    """Folds that differ much and seeds that differ little: 5 x 10 "pairs" are still 5 pieces of evidence."""
    rng = np.random.default_rng(3)
    folds = correlated(rng, 5000, 5, 0.25)
    cells = folds[:, :, None] + 0.3 * rng.normal(size=(5000, 5, 10))
    averaged = statistics.corrected_t_test(cells.mean(axis=2), 0.25).p
    flattened = statistics.corrected_t_test(cells.reshape(5000, 50), 0.25).p
    assert 0.03 < np.mean(averaged < 0.05) < 0.07
    assert np.mean(flattened < 0.05) > 0.12


def test_equal_differences_are_no_evidence():
    assert np.isnan(statistics.corrected_t_test(np.full(5, 0.0125), 0.25).p)
    assert statistics.corrected_t_test(np.zeros(5), 0.25).p == 1.0


# --- permutation test


def brute_force(contributions):
    signs = np.array(list(itertools.product([-1, 1], repeat=len(contributions))))
    return np.mean(np.abs(signs @ contributions) >= abs(contributions.sum()) - 1e-9)


@pytest.mark.parametrize("n_groups", [1, 4, 9])
def test_exact_permutation_test_equals_brute_force(n_groups):
    contributions = np.random.default_rng(n_groups).integers(-3, 5, n_groups).astype(float)
    p = statistics.permutation_test(contributions, np.random.default_rng(0))
    assert p == pytest.approx(brute_force(contributions), abs=1e-12)


def test_random_permutation_test_is_near_the_exact_one_and_near_scipy():
    contributions = np.random.default_rng(8).integers(-2, 4, 16).astype(float)
    p = statistics.permutation_test(contributions, np.random.default_rng(0))
    assert p == pytest.approx(brute_force(contributions), abs=0.01)
    reference = stats.permutation_test(
        (contributions, np.zeros(16)),
        lambda a, b, axis: np.sum(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
    )
    assert p == pytest.approx(reference.pvalue, abs=0.01)


def test_groups_without_a_difference_do_not_count():
    contributions = np.array([2.0, 0, 1, 0, -1, 3])
    rng = np.random.default_rng(0)
    assert statistics.permutation_test(contributions, rng) == brute_force(contributions[contributions != 0])
    assert statistics.permutation_test(np.zeros(8), rng) == 1.0


@pytest.mark.parametrize("n_groups", [10, 40])
def test_permutation_test_of_clustered_clips_holds_its_level(n_groups):
    """Clips of a group share half of what decides them; groups weigh differently, as in average recall."""
    rng = np.random.default_rng(n_groups)
    weights = rng.uniform(0.5, 1.5, n_groups)
    p_values = []
    for _ in range(1500):
        group_effect = rng.normal(size=(n_groups, 1))
        contributions = weights * np.sign(group_effect + rng.normal(size=(n_groups, 8))).sum(axis=1)
        p_values.append(statistics.permutation_test(contributions, rng, n_permutations=399))
    assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.07


def test_permuting_clips_of_a_group_apart_would_flatter():
    rng = np.random.default_rng(5)
    p_values = []
    for _ in range(400):
        clips = np.sign(rng.normal(size=(20, 1)) + rng.normal(size=(20, 8)))
        p_values.append(statistics.permutation_test(clips.ravel(), rng, n_permutations=399))
    assert np.mean(np.array(p_values) < 0.05) > 0.2


# --- McNemar


def test_mcnemar_of_a_published_example():
    """Airway hyper-responsiveness before and after transplantation, 1 against 7 (Fagerland et al. 2013)."""
    assert statistics.mcnemar_test(1, 7) == pytest.approx(0.0391, abs=5e-5)


@pytest.mark.parametrize(("first", "second"), [(0, 4), (3, 3), (11, 25), (40, 38)])
def test_mcnemar_is_the_exact_test_less_half_of_the_observed_outcome(first, second):
    """Mid-p: P(as or more extreme) minus half of P(this table), both tails."""
    exact = stats.binomtest(first, first + second, 0.5).pvalue
    outcome = stats.binom.pmf(first, first + second, 0.5) * (1 if first != second else 0.5)
    assert statistics.mcnemar_test(first, second) == pytest.approx(exact - outcome, rel=1e-9)
    assert statistics.mcnemar_test(first, second) == statistics.mcnemar_test(second, first)


def test_mcnemar_without_discordant_clips_finds_nothing():
    assert statistics.mcnemar_test(0, 0) == 1.0


@pytest.mark.parametrize("n_discordant", [40, 100])
def test_mcnemar_holds_its_level(n_discordant):
    first = np.random.default_rng(6).binomial(n_discordant, 0.5, 20_000)
    p_of = {n: statistics.mcnemar_test(n, n_discordant - n) for n in range(n_discordant + 1)}
    assert 0.03 < np.mean([p_of[n] < 0.05 for n in first]) < 0.07


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


# --- several variants


def test_holm_of_a_worked_example():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.6, 0.7]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_holm_holds_the_level_of_the_family():
    p_values = np.random.default_rng(8).uniform(size=(4000, 6))
    assert 0.03 < np.mean([min(statistics.holm(list(row))) < 0.05 for row in p_values]) < 0.07


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


# --- power


def test_number_of_seeds_is_that_of_the_textbook():
    """A paired t-test finds half a standard deviation in 80 % of the cases with 34 pairs (Cohen 1988)."""
    assert statistics.noncentrality(34) / np.sqrt(34) <= 0.5 < statistics.noncentrality(33) / np.sqrt(33)
    seeds = stats.norm.ppf((np.arange(20) + 0.5) / 20)
    seeds = (seeds / seeds.std(ddof=1))[None, :]
    assert statistics.runs_needed(seeds, 0.0, 0.5) == 34


@pytest.mark.parametrize(("n_units", "ratio"), [(3, 0.5), (5, 0.25), (10, 1 / 9)])
def test_detectable_difference_is_found_four_times_in_five(n_units, ratio):
    error = np.sqrt((1 / n_units + ratio) / (1 + ratio))  # of the mean of `correlated` differences
    true = statistics.noncentrality(n_units) * error
    differences = true + correlated(np.random.default_rng(9), 20_000, n_units, ratio)
    found = np.mean(statistics.corrected_t_test(differences, ratio).p < 0.05)
    assert 0.785 < found < 0.815


def test_variance_components_find_what_was_put_in():
    rng = np.random.default_rng(10)
    cells = 2.0 * rng.normal(size=(4000, 1)) + 1.0 * rng.normal(size=(4000, 3))
    assert statistics.variance_components(cells) == pytest.approx((4.0, 1.0), rel=0.1)


def test_variance_components_of_missing_runs_equal_those_of_the_runs_there():
    cells = np.array([[1.0, 2.0, np.nan], [4.0, np.nan, np.nan], [2.0, 5.0, 3.5]])
    within = (2 * 0.25 + 2 * 1.5**2) / 3
    between = np.var([1.5, 4.0, 3.5], ddof=1) - within * (1 / 2 + 1 + 1 / 3) / 3
    assert statistics.variance_components(cells) == pytest.approx((between, within), rel=1e-12)


def test_more_seeds_are_needed_for_a_smaller_difference_and_cannot_help_against_the_folds():
    rng = np.random.default_rng(11)
    seed_noise = 0.02 * rng.normal(size=(5, 3))
    needed = [statistics.runs_needed(seed_noise, 0.25, d) for d in (0.04, 0.02, 0.01)]
    assert needed == sorted(needed)
    assert needed[-1] > 2 * needed[0]
    assert all(n % 5 == 0 for n in needed)
    fold_noise = 0.05 * rng.normal(size=(5, 1)) + 0.001 * rng.normal(size=(5, 3))
    assert statistics.runs_needed(fold_noise, 0.25, 0.01) is None


def test_runs_needed_are_enough():
    """With the runs that `runs_needed` asks for, the difference is found in 80 % and not in many more."""
    rng = np.random.default_rng(12)
    pilot = 0.02 * rng.normal(size=(5, 400))
    n_seeds = statistics.runs_needed(pilot, 0.25, 0.01) // 5
    spread = 0.02 / np.sqrt(n_seeds) * np.sqrt(1.25)  # correlation lowers what varies between folds by 1.25
    differences = 0.01 + spread * correlated(rng, 20_000, 5, 0.25)
    assert 0.78 < np.mean(statistics.corrected_t_test(differences, 0.25).p < 0.05) < 0.85
