"""Bootstrap intervals over SKUs."""

import numpy as np
import pytest

from skufp.retrieval.bootstrap import Interval, interval, resampled_means


def test_interval_covers_the_mean_and_lies_in_the_range() -> None:
    rng = np.random.default_rng(0)
    values, sku = rng.random(200), rng.integers(0, 60, 200)
    result = interval(values, sku)
    assert result.mean == pytest.approx(values.mean())
    assert values.min() < result.low < result.mean < result.high < values.max()


def test_width_is_that_of_the_central_limit_for_independent_queries() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=400)
    result = interval(values, np.arange(400), resamples=4000)
    assert result.high - result.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)


def test_correlated_queries_of_a_sku_widen_it() -> None:
    rng = np.random.default_rng(2)
    correlated = np.repeat(rng.normal(size=40), 10)  # ten queries of a SKU all fare alike
    sku = np.repeat(np.arange(40), 10)
    together = interval(correlated, sku)
    naive = interval(correlated, np.arange(400))
    assert together.mean == pytest.approx(naive.mean)
    assert together.high - together.low > 2.5 * (naive.high - naive.low)


def test_one_sku_that_owns_all_queries_leaves_no_spread() -> None:
    values = np.array([0.0, 1.0, 1.0, 0.0])
    result = interval(values, np.full(4, 7))
    assert (result.mean, result.low, result.high) == (0.5, 0.5, 0.5)


def test_mean_is_over_queries_not_over_skus() -> None:
    result = interval(np.array([1.0, 1.0, 1.0, 0.0]), np.array([0, 0, 0, 1]))
    assert result.mean == 0.75
    assert (result.low, result.high) == (0.0, 1.0)


def test_sku_names_may_be_strings_and_their_order_does_not_count() -> None:
    rng = np.random.default_rng(3)
    values, number = rng.random(50), rng.integers(0, 9, 50)
    assert interval(values, number) == interval(values, np.array([f"sku-{n}" for n in number]))


def test_seed_and_level_count() -> None:
    rng = np.random.default_rng(4)
    values, sku = rng.random(80), np.arange(80)
    assert interval(values, sku, seed=1) == interval(values, sku, seed=1)
    assert interval(values, sku, seed=1) != interval(values, sku, seed=2)
    wide, narrow = interval(values, sku, level=0.99), interval(values, sku, level=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_no_query_has_no_mean() -> None:
    result = interval(np.array([]), np.array([]))
    assert np.isnan([result.mean, result.low, result.high]).all()


def test_a_resample_weighs_skus_by_their_queries() -> None:
    # Half of all resamples draw both SKUs: nine queries at 1 and one at 0.
    result = interval(np.array([1.0] * 9 + [0.0]), np.array([0] * 9 + [1]), level=0.3)
    assert (result.low, result.high) == pytest.approx((0.9, 0.9))


def test_resamples_equal_drawing_skus_by_hand() -> None:
    rng = np.random.default_rng(5)
    values, sku = rng.random((40, 2)), rng.integers(0, 7, 40)
    result = resampled_means(values, sku, resamples=6, seed=9)
    np.testing.assert_allclose(result[0], values.mean(axis=0))
    draw = np.random.default_rng(9)
    names = np.unique(sku)
    for row in result[1:]:
        drawn = np.concatenate([values[sku == names[i]] for i in draw.integers(0, len(names), len(names))])
        np.testing.assert_allclose(row, drawn.mean(axis=0))


def test_columns_share_their_resamples() -> None:
    rng = np.random.default_rng(6)
    values, sku = rng.random(60), rng.integers(0, 11, 60)
    resampled = resampled_means(np.stack([values, values + 0.25], axis=1), sku, resamples=50)
    np.testing.assert_allclose(resampled[:, 1] - resampled[:, 0], 0.25)


def test_interval_of_resamples_leaves_out_what_is_not_a_number() -> None:
    resampled = np.array([0.5, *np.linspace(0, 1, 101), np.nan, np.nan])
    assert Interval.of(resampled, level=0.8) == Interval(0.5, pytest.approx(0.1), pytest.approx(0.9))
    nothing = Interval.of(np.array([0.5, np.nan]))
    assert nothing.mean == 0.5
    assert np.isnan([nothing.low, nothing.high]).all()
