"""Rows like the training's raise no alert; shifted ones do, by name."""

import numpy as np
import pytest

from feeds.bundle import RANKER_NAMES
from tests.training.fitted_world import fitted_world
from training.drift import GROUPS, Window, compare, groups_of, ks, psi, training_window
from training.ranking_fit import ranker_matrix


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return fitted_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def window(world):
    return training_window(*world, seed=0)


@pytest.fixture(scope="module")
def matrix(world):
    """Every second row that trained or stopped the heads, as a new sample of the same source."""
    data, fitted = world
    index = np.concatenate([fitted.ranking.train_index, fitted.ranking.valid_index])[::2]
    return ranker_matrix(fitted.rows, index, fitted.early_cross, data.driver.records)


def test_psi_and_ks_by_hand():
    half, mostly = np.array([50, 50]), np.array([90, 10])
    p, q = 50.5 / 101, 90.5 / 101
    assert psi(half, mostly) == pytest.approx((q - p) * np.log(q / p) + (p - q) * np.log((1 - q) / (1 - p)))
    assert ks(half, mostly) == pytest.approx(0.4)
    assert psi(half, half) == ks(half, half) == 0
    assert psi(half, np.array([5, 5])) == pytest.approx(0), "how many rows there are is no drift"


def test_groups_are_tenths_in_order_with_missing_values_apart():
    even = np.full(256, 10)
    group = groups_of(even, apart=0)
    assert group[0] == 0 and (np.diff(group) >= 0).all() and group.max() == GROUPS
    sizes = np.bincount(group)[1:]
    assert sizes.min() >= 24 and sizes.max() <= 27
    constant = np.zeros(256, int)
    constant[7] = 1_000
    assert groups_of(constant, apart=0).max() == 1, "missing, and the one value with all that comes instead of it"


def test_the_same_source_raises_no_alert(world, window, matrix):
    _, fitted = world
    moved = compare(window, fitted.ranking.ranker, matrix, slates=200)
    assert [one.name for one in moved if one.alert] == []
    assert max(one.psi for one in moved) < 0.05
    assert {one.name for one in moved} == {*RANKER_NAMES, *fitted.ranking.ranker.heads} - {"position"}


def test_a_shifted_feature_is_an_alert_and_the_others_are_not(world, window, matrix):
    _, fitted = world
    shifted = matrix.copy()
    shifted[:, RANKER_NAMES.index("length_s")] *= 4
    moved = compare(window, fitted.ranking.ranker, shifted, slates=200)
    features = [one.name for one in moved if one.alert and one.kind == "feature"]
    assert features == ["length_s"]
    assert moved[0].alert, "what moved furthest comes first"


def test_a_feature_that_is_missing_everywhere_is_an_alert(world, window, matrix):
    _, fitted = world
    lost = matrix.copy()
    lost[:, RANKER_NAMES.index("video_long_views_rate_30d")] = np.nan
    alerts = {one.name for one in compare(window, fitted.ranking.ranker, lost, slates=200) if one.alert}
    assert "video_long_views_rate_30d" in alerts


def test_predictions_move_with_what_they_are_made_of(world, window, matrix):
    _, fitted = world
    ranker = fitted.ranking.ranker
    best = matrix[np.argsort(ranker.predict(matrix)["long_view"])[-len(matrix) // 5 :]]
    heads = {one.name for one in compare(window, ranker, best, slates=200) if one.alert and one.kind == "prediction"}
    assert "long_view" in heads


def test_few_slates_widen_the_bounds(world, window, matrix):
    _, fitted = world
    few, many = (compare(window, fitted.ranking.ranker, matrix, slates=count) for count in (5, 5_000))
    assert min(one.psi_bound for one in few) > min(one.psi_bound for one in many)


def test_a_window_is_read_as_it_was_written_and_is_the_same_for_the_same_seed(world, window, tmp_path):
    (tmp_path / "window.npz").write_bytes(window.to_bytes())
    assert Window.read(tmp_path).to_bytes() == training_window(*world, seed=0).to_bytes()
