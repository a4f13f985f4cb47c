"""Bins: what a code promises about the value behind it."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import InputError, SchemaMismatch
from ranking.bins import MAX_BINS, NAN_CODE, BinsConfig, SharedBins

NAN, INF = np.float32(np.nan), np.float32(np.inf)


def column(*values):
    return np.array(values, np.float32)[:, None]


def oracle(bins, values):
    """The definition: 1 + how many bounds are below the value; NaN has a code of its own."""
    codes = np.zeros(values.shape, np.uint8)
    for (row, feature), value in np.ndenumerate(values):
        if not np.isnan(value):
            codes[row, feature] = 1 + sum(bound < value for bound in bins.upper[feature])
    return codes


def test_few_distinct_values_have_one_bin_each():
    bins = SharedBins.fit(column(3, 1, 1, 7, 3, 1))
    # Bounds lie halfway: 2 and 5.
    assert bins.codes(column(1, 2, 2.5, 3, 5, 5.1, 7)).ravel().tolist() == [1, 1, 2, 2, 2, 3, 3]


def test_a_value_outside_of_the_sample_falls_into_the_nearest_bin():
    bins = SharedBins.fit(column(1, 2, 3))
    assert bins.codes(column(-INF, -1e30, 1e30, INF)).ravel().tolist() == [1, 1, 3, 3]


def test_nan_has_a_code_of_its_own_below_all_numbers():
    bins = SharedBins.fit(column(NAN, -INF, 0, 1, INF))
    assert bins.codes(column(NAN, -INF, 0, 1, INF)).ravel().tolist() == [NAN_CODE, 1, 2, 3, 4]


def test_a_feature_that_is_always_nan_or_constant_has_one_bin():
    sample = np.array([[NAN, 5], [NAN, 5]], np.float32)
    bins = SharedBins.fit(sample)
    assert bins.bins.tolist() == [1, 1]
    assert bins.codes(np.array([[1, -9], [NAN, NAN]], np.float32)).tolist() == [[1, 1], [0, 0]]


def test_neighbouring_floats_are_told_apart():
    low = np.float32(1)
    high = np.nextafter(low, INF)
    assert SharedBins.fit(column(low, high)).codes(column(low, high)).ravel().tolist() == [1, 2]


def test_many_values_share_the_bins_about_equally():
    values = np.random.default_rng(0).lognormal(0, 3, (100_000, 1)).astype(np.float32)
    bins = SharedBins.fit(values)
    counts = np.bincount(bins.codes(values).ravel())[1:]
    assert bins.bins.tolist() == [MAX_BINS]
    # An equal share is 100,000 / 254 = 393.7 rows.
    assert counts.min() > 300 and counts.max() < 500


def test_a_value_that_is_most_of_the_sample_has_its_own_bin_and_the_rest_keep_theirs():
    rng = np.random.default_rng(0)
    values = np.where(rng.random(50_000) < 0.9, 0, rng.normal(size=50_000)).astype(np.float32)
    bins = SharedBins.fit(values[:, None])
    codes = bins.codes(values[:, None]).ravel()
    assert np.unique(values[codes == bins.codes(column(0))[0, 0]]).tolist() == [0]
    assert bins.bins[0] > 240


def test_the_number_of_bins_is_a_setting():
    values = np.arange(1000, dtype=np.float32)[:, None]
    assert SharedBins.fit(values, BinsConfig(max_bins=16)).bins.tolist() == [16]


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 65, 200])
def test_codes_equal_the_definition_in_either_layout(rows):
    rng = np.random.default_rng(rows)
    sample = np.column_stack([rng.normal(size=3000), rng.integers(0, 5, 3000), rng.exponential(1, 3000)]).astype(
        np.float32
    )
    bins = SharedBins.fit(sample)
    values = rng.choice(np.concatenate([sample[:50].ravel(), [NAN, INF, -INF, 0]]), (rows, 3))
    expected = oracle(bins, values)
    assert np.array_equal(bins.codes(values), expected)
    assert np.array_equal(bins.codes(np.asfortranarray(values)), expected)


# A busy machine may draw slowly; that says nothing of the codes.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=400))
def test_codes_keep_the_order_of_values(values):
    values = np.array(values, np.float32)
    codes = SharedBins.fit(values[:, None], BinsConfig(max_bins=30)).codes(values[:, None]).ravel()
    order = np.argsort(values[~np.isnan(values)])
    assert (np.diff(codes[~np.isnan(values)][order].astype(int)) >= 0).all()
    assert ((codes == NAN_CODE) == np.isnan(values)).all()


def test_saved_bins_give_the_same_codes():
    values = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    bins = SharedBins.fit(values)
    again = SharedBins.from_arrays(bins.arrays())
    assert np.array_equal(again.codes(values), bins.codes(values))


def test_an_empty_sample_or_another_number_of_features_is_refused():
    with pytest.raises(InputError, match="at least one sampled row"):
        SharedBins.fit(np.empty((0, 3), np.float32))
    with pytest.raises(SchemaMismatch, match="fitted on 1 features"):
        SharedBins.fit(column(1, 2)).codes(np.zeros((2, 3), np.float32))
    with pytest.raises(SchemaMismatch, match="ascending"):
        SharedBins(np.array([[2, 1, INF]], np.float32))
