"""Means, intervals and verdicts, against computations by hand and against what intervals promise."""

import math

import numpy as np
import pytest

from mdvision.compare import statistics
from mdvision.compare.statistics import SAME, interval_method, paired_difference, summarize


def test_mean_deviation_and_t_interval_by_hand():
    summary = summarize([1.0, 2.0, 6.0])
    assert summary.mean == 3.0
    assert summary.deviation == pytest.approx(math.sqrt(7))  # (4 + 1 + 9) / 2
    half = 4.302653 * math.sqrt(7 / 3)
    assert summary.interval == pytest.approx((3 - half, 3 + half), abs=1e-5)


def test_a_difference_is_judged_over_pairs():
    # The seeds differ by far more than the variants, and equally for both.
    reference = [90.0, 80.0, 70.0]
    better = paired_difference([91.0, 81.1, 70.9], reference)
    assert better.mean == pytest.approx(1.0)
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert better.interval == pytest.approx((1 - half, 1 + half), abs=1e-5)
    assert better.verdict == 'better'
    assert paired_difference(reference, [91.0, 81.1, 70.9]).verdict == 'worse'
    assert paired_difference(reference, [91.0, 81.1, 70.9], lower_is_better=True).verdict == 'better'
    # Unpaired, the same values are hopelessly apart.
    assert paired_difference([70.9, 91.0, 81.1], reference).verdict == SAME


def test_without_a_spread_there_is_no_interval_and_no_verdict():
    one = paired_difference([99.0], [1.0])
    assert (one.mean, one.interval, one.verdict) == (98.0, None, SAME)
    assert summarize([5.0]).deviation is None
    constant = paired_difference([2.0, 3.0, 4.0], [1.0, 2.0, 3.0])
    assert (constant.mean, constant.interval, constant.verdict) == (1.0, None, SAME)
    rounding = paired_difference([0.1 + 0.2, 0.4], [0.3, 0.4])
    assert rounding.verdict == SAME and rounding.interval is None


def test_what_is_spread_is_more_than_rounding():
    assert summarize([1.0, 3.0]).deviation == pytest.approx(math.sqrt(2))
    assert summarize([0.0, 1e-12]).interval is None  # absolute for small values
    assert summarize([0.0, 1.5e-12]).interval is not None
    assert summarize([1e6, 1e6 + 1e-7]).interval is None  # relative for large ones
    assert summarize([1e6, 1e6 + 1e-5]).interval is not None


@pytest.mark.parametrize('interval', [(0.0, 2.0), (-2.0, 0.0), (-1.0, 1.0)])
def test_an_interval_that_touches_zero_is_no_difference(monkeypatch, interval):
    monkeypatch.setattr(statistics, '_interval', lambda values: interval)
    difference = paired_difference([2.0, 3.0], [1.0, 1.0])
    assert (difference.verdict, difference.interval) == (SAME, interval)


def test_values_of_different_numbers_of_seeds_are_no_pairs():
    with pytest.raises(ValueError):
        paired_difference([1.0, 2.0], [1.0])


def test_the_bootstrap_is_the_same_each_time_and_follows_skewed_values():
    values = [0.0, 0.1, 0.2, 0.1, 0.0, 0.3, 0.1, 5.0]
    low, high = summarize(values).interval
    assert summarize(values).interval == (low, high)
    mean = sum(values) / len(values)
    assert high - mean > mean - low > 0
    assert low >= 0  # no mean of a resample is below the least value


@pytest.mark.parametrize(
    ('values', 'quantile_of_t'),
    # The 0.975 quantiles of Student's t with 5 and 9 degrees of freedom, from a printed table.
    [([1.0, 2.0, 4.0, 4.5, 5.0, 9.0], 2.570582), ([float(x * x) for x in range(10)], 2.262157)],
)
def test_the_bootstrap_has_its_tails_where_hesterberg_puts_them(values, quantile_of_t):
    count = len(values)
    # Phi(-reach), the tail that makes the interval of normal values as wide as Student's.
    tail = math.erfc(quantile_of_t * math.sqrt(count / (count - 1)) / math.sqrt(2)) / 2
    means = np.random.default_rng(0).choice(values, (10_000, count)).mean(axis=1)
    expected = np.quantile(means, [tail, 1 - tail])
    np.testing.assert_allclose(summarize(values).interval, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ('count', 'least'), [(2, 0.93), (3, 0.93), (5, 0.93), (6, 0.92), (8, 0.92), (10, 0.92)]
)
def test_intervals_of_normal_values_cover_the_mean_as_often_as_they_promise(count, least):
    rng = np.random.default_rng(count)
    repeats = 600
    covered = 0
    for _ in range(repeats):
        low, high = summarize(rng.normal(3.0, 1.0, count).tolist()).interval
        covered += low <= 3.0 <= high
    assert least <= covered / repeats <= 0.98


def test_the_plain_bootstrap_would_be_too_narrow():
    rng = np.random.default_rng(0)
    covered, repeats = 0, 600
    for _ in range(repeats):
        values = rng.normal(0.0, 1.0, 5)
        low, high = np.quantile(rng.choice(values, (1000, 5)).mean(axis=1), [0.025, 0.975])
        covered += low <= 0 <= high
    assert covered / repeats < 0.88


def test_equal_variants_are_seldom_told_apart():
    rng = np.random.default_rng(1)
    verdicts = []
    for _ in range(600):
        seeds = rng.normal(0.0, 3.0, 3)
        a, b = seeds + rng.normal(0, 1, 3), seeds + rng.normal(0, 1, 3)
        verdicts.append(paired_difference(a.tolist(), b.tolist()).verdict)
    assert 0.02 < 1 - verdicts.count(SAME) / len(verdicts) < 0.08


def test_the_caption_names_the_method():
    assert interval_method(1) == 'one seed: no interval, so nothing is distinguishable'
    assert '2 degrees of freedom' in interval_method(3)
    assert '1 degree of freedom' in interval_method(2)
    assert '4 degrees of freedom' in interval_method(5)
    assert 'bootstrap of 10,000 resamples' in interval_method(6)
