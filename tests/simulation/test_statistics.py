"""The history of the default world lies inside the reference statistics of the law."""

import time

import numpy as np
import pytest

from simulation.history import LoggedHistory
from simulation.statistics import RANGES, auc, measure
from simulation.viewers import draw_viewers
from simulation.world import World


@pytest.mark.slow
def test_the_default_history_lies_inside_every_reference_range():
    begun = time.perf_counter()
    world = World.build(1)
    rows = np.concatenate(list(LoggedHistory(world, 1_000_000).hours()))
    print(f"1,000,000 impressions in {time.perf_counter() - begun:.1f} s")
    found = vars(measure(world, rows))
    outside = {name: found[name] for name, (low, high) in RANGES.items() if not low <= found[name] <= high}
    assert not outside, f"outside: {outside}; all: {found}"


def test_auc_counts_ties_half():
    # pairs (positive, negative): (2, 1) wins, (2, 2) ties, (3, 1) and (3, 2) win: 3.5 of 4
    assert auc(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, False, True, True])) == 3.5 / 4


def test_topics_of_a_group_have_cosine_one_half():
    centroids = World.build(3, users=10, videos=80).topics.centroids
    cosine = centroids @ centroids.T
    group = np.arange(24) % 6
    same = (group[:, None] == group) & ~np.eye(24, dtype=bool)
    assert np.allclose(np.diag(cosine), 1.0, atol=1e-5)
    assert np.allclose(cosine[same], 0.5, atol=1e-5)


def test_the_content_embedding_explains_about_half_of_the_taste_vector():
    videos = World.build(3, users=10, videos=20_000).videos
    design = np.column_stack([videos.embedding, np.ones(len(videos))])
    fit = design @ np.linalg.lstsq(design, videos.taste, rcond=None)[0]
    spread = ((videos.taste - videos.taste.mean(axis=0)) ** 2).sum()
    assert 0.4 <= 1.0 - ((videos.taste - fit) ** 2).sum() / spread <= 0.6


def test_activity_and_follows_have_the_median_and_tail_of_the_law():
    world = World.build(3, users=6000, videos=30_000)
    follows = np.bincount(world.follows.viewer, minlength=6000)
    assert 22 <= np.median(world.viewers.activity) <= 28
    assert 170 <= np.percentile(world.viewers.activity, 95) <= 230
    assert 10 <= np.median(follows) <= 14
    assert 100 <= np.percentile(follows, 95) <= 190
    assert np.bincount(world.follows.author).max() <= 0.2 * 6000


def test_tastes_keep_their_spread_and_the_autocorrelation_of_the_law():
    world = World.build(3, users=4000, videos=80)
    before = world.viewers.deviation
    world.advance()
    after = world.viewers.deviation[: len(before)]
    assert abs(np.corrcoef(before.ravel(), after.ravel())[0, 1] - 0.985) < 0.002
    assert abs(after.std() - 0.3) < 0.005


def test_a_minority_of_three_in_a_hundred_exists_in_the_misspecified_law():
    world = World.build(3, users=20_000, videos=80, law="misspecified")
    assert 0.02 <= (world.viewers.cluster == world.law.taste_clusters - 1).mean() <= 0.04
    signups = np.zeros(5, np.int64)
    assert len(draw_viewers(np.random.default_rng(0), world.law, world.topics, signups)) == 5
