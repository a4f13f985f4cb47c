"""A head that knows positions in training and is asked for the first one: what a place earned is not the video's."""

import numpy as np
import pytest

from feeds.cross import SERVED_POSITION
from ranking.bins import SharedBins
from ranking.head_config import HeadConfig
from ranking.heads import train_heads
from simulation.law import law_named
from simulation.utility import attention

PLACES = 20


def shown(rows, seed):
    """Videos of equal appeal in the mean, the popular ones on top; views need attention, which falls as the law says.
    Columns: popularity, appeal, position."""
    rng = np.random.default_rng(seed)
    popularity, appeal = rng.random(rows), rng.normal(size=rows)
    position = np.clip((PLACES * (1 - popularity) + rng.normal(0, 4, rows)).astype(int), 0, PLACES - 1)
    law = law_named("misspecified").kernel
    seen = np.array([attention(law, place) for place in range(PLACES)])
    viewed = rng.random(rows) < seen[position] / (1 + np.exp(-appeal))
    return np.column_stack([popularity, appeal, position]).astype(np.float32), viewed.astype(np.float32), seen


def head_of(values, label):
    """The calibrated predictions of a head that was fitted on these columns."""
    bins, half = SharedBins.fit(values), len(values) // 2
    codes, names = bins.codes(values), [f"f{column}" for column in range(values.shape[1])]
    config = HeadConfig(name="long_view", leaves=8, rounds=150, min_rows_in_leaf=200)
    labels = {"long_view": label}
    trained = train_heads(
        codes[:half], {k: v[:half] for k, v in labels.items()}, codes[half:], {k: v[half:] for k, v in labels.items()},
        names, [config], threads=1,
    )  # fmt: skip
    ranker = trained.ranker(bins, codes[half:], {k: v[half:] for k, v in labels.items()})
    return lambda asked: ranker.predict(asked)["long_view"]


def test_a_served_prediction_does_not_credit_a_video_with_the_places_it_was_given():
    values, label, _ = shown(40_000, 0)
    blind, aware = head_of(values[:, :2], label), head_of(values, label)
    asked = np.zeros((2, 3), np.float32)
    asked[:, 0], asked[:, 2] = [0.05, 0.95], SERVED_POSITION  # unpopular, popular; the same appeal
    credited = np.diff(blind(asked[:, :2]))[0]
    assert credited > 0.1
    assert abs(np.diff(aware(asked))[0]) < credited / 3


def test_the_known_position_bias_of_the_world_is_what_the_head_learns():
    values, label, seen = shown(40_000, 1)
    aware = head_of(values, label)
    asked = np.array([[0.5, 0.0, 6.0], [0.5, 0.0, 14.0]], np.float32)
    low, high = aware(asked)[::-1]
    assert low / high == pytest.approx(seen[14] / seen[6], abs=0.1)
