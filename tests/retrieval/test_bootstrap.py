"""Bootstrap intervals over SKUs."""

import numpy as np
import pytest

from skufp.retrieval.bootstrap import Interval, interval, resampled_means, standard_error


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


def test_standard_error_by_hand() -> None:
    # The mean is 1/2; residuals add up to 1/2 + 1/2 in SKU a, -1/2 in b and -1/2 in c: root of 1.5, over 4 queries,
    # times the root of 3/2 for three SKUs.
    values, sku = np.array([1.0, 1.0, 0.0, 0.0]), np.array(["a", "a", "b", "c"])
    assert standard_error(values, sku) == pytest.approx((1.5 * 3 / 2) ** 0.5 / 4)
    assert standard_error(values, np.array(["a"] * 4)) == np.inf
    # Within a SKU residuals cancel before they are squared.
    assert standard_error(values, np.array(["a", "b", "a", "b"])) == pytest.approx(0.0)


def test_standard_error_against_a_naive_loop() -> None:
    rng = np.random.default_rng(7)
    values, sku = rng.normal(size=60), rng.integers(0, 9, 60)
    mean, total = sum(values) / 60, 0.0
    for one in sorted(set(sku.tolist())):
        own = 0.0
        for value, of in zip(values, sku, strict=True):
            own += value - mean if of == one else 0.0
        total += own**2
    assert standard_error(values, sku) == pytest.approx((total * 9 / 8) ** 0.5 / 60)


def test_standard_error_is_the_textbooks_for_independent_queries_and_the_bootstraps_for_others() -> None:
    rng = np.random.default_rng(8)
    values = rng.normal(size=300)
    assert standard_error(values, np.arange(300)) == pytest.approx(values.std(ddof=1) / 300**0.5)
    sku = rng.integers(0, 60, 300)
    together = values + rng.normal(size=60)[sku]  # queries of a SKU fare alike
    spread = resampled_means(together[:, None], sku, resamples=2000)[1:, 0].std()
    assert standard_error(together, sku) == pytest.approx(spread, rel=0.1)
    assert standard_error(together, sku) > 1.5 * standard_error(together, np.arange(300))


def test_standard_error_knows_neither_order_nor_names_nor_shift_and_grows_with_scale() -> None:
    rng = np.random.default_rng(9)
    values, sku = rng.normal(size=40), rng.integers(0, 8, 40)
    expected, order = standard_error(values, sku), rng.permutation(40)
    assert standard_error(values[order], sku[order]) == pytest.approx(expected)
    assert standard_error(values, np.array([f"sku-{n}" for n in sku])) == pytest.approx(expected)
    assert standard_error(3 * values + 7, sku) == pytest.approx(3 * expected)
