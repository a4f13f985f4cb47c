import numpy as np
import pytest

from candidate_gen.blend import CUTS
from candidate_gen.interactions import LONG_VIEW, interactions_of
from candidate_gen.item_to_item import Neighbours
from candidate_gen.model_sources import AlsSource, AlsSourceConfig, EaseSource, EaseSourceConfig, NeighbourSource
from candidate_gen.recall import recalls
from candidate_gen.sources import ItemToItemSourceConfig
from features.layout import DAY_MS
from tests.candidate_gen.worlds import make_world, query_of
from training.source_scores import (
    SOURCES,
    SourceScores,
    fit_blend,
    last_watches,
    later_long_views,
    lent,
    recent_counts,
    source_ranks,
)


def test_the_last_watches_of_chosen_viewers_stay_in_order():
    # Viewers have 4, 0 and 2 watches; of the third and the first at most three are taken.
    bounds, at = last_watches(np.array([0, 4, 4, 6]), np.array([2, 1, 0]), 3)
    assert bounds.tolist() == [0, 2, 2, 5]
    assert at.tolist() == [4, 5, 1, 2, 3]


def test_neighbours_lend_what_a_plain_loop_adds_up():
    rng = np.random.default_rng(0)
    rows = np.stack([rng.permutation(8)[:3] for _ in range(8)]).astype(np.int32)
    rows[2, 1:] = -1
    neighbours = Neighbours(rows, rng.random((8, 3)).astype(np.float32))
    indptr, video, weight = np.array([0, 3, 3, 5]), rng.integers(0, 8, 5), rng.random(5).astype(np.float32)
    expected = np.zeros((3, 8))
    for viewer in range(3):
        for at in range(indptr[viewer], indptr[viewer + 1]):
            for row, score in zip(rows[video[at]], neighbours.scores[video[at]], strict=True):
                if row >= 0:
                    expected[viewer, row] += weight[at] * score
    np.testing.assert_allclose(lent(neighbours, indptr, video, weight, 8), expected, rtol=1e-6)


def test_a_count_halves_in_two_days():
    flags = np.array([LONG_VIEW, LONG_VIEW, 0])
    past = interactions_of(
        np.zeros(3, int), np.array([0, 1, 1]), np.array([2, 0, 4]) * DAY_MS, flags, np.zeros((1, 0), np.int32), ()
    )
    # On day 4: video 0 has 1 long view two days old, 1/2; video 1 one of four days, 1/4, and .3 of now.
    np.testing.assert_allclose(recent_counts(past, 3, 4 * DAY_MS), [0.5, 0.55, 0])


@pytest.fixture(scope="module")
def fit_of_a_world():
    from candidate_gen.als import AlsConfig
    from tests.candidate_gen.conftest import TINY
    from training.config import TrainConfig
    from training.progress import silent
    from training.retrieval import fit_retrieval

    world = make_world(content_dim=6)
    towers = TINY.model_copy(update={"epochs": 2})
    als = AlsConfig(factors=8, confidence=20, regularisation=5)
    config = TrainConfig(towers=towers, affinity=towers.model_copy(update={"loss": "pointwise"}), als=als)
    return world, fit_retrieval(world.watches, world.table, world.now_ms, config, silent, "fit")


def test_a_viewer_is_scored_in_training_as_in_serving(fit_of_a_world):
    world, fit = fit_of_a_world
    found = SourceScores(fit, world.table, world.watches, world.now_ms).of(np.array([3, 8], np.int32))
    serving = {
        "als": AlsSource(fit.als, AlsSourceConfig()),
        "ease": EaseSource(fit.linear, EaseSourceConfig()),
        "item_to_item": NeighbourSource(fit.neighbours, ItemToItemSourceConfig()),
    }
    for name, source in serving.items():
        for row, viewer in enumerate((3, 8)):
            scores = source.scores(query_of(world, viewer), len(world.table))
            np.testing.assert_allclose(found[name][row], scores, atol=1e-4, err_msg=name)


def test_the_blend_of_a_fit_finds_at_least_what_its_first_source_finds(fit_of_a_world):
    world, fit = fit_of_a_world
    scores = SourceScores(fit, world.table, world.watches, world.now_ms)
    videos, rng = len(world.table), np.random.default_rng(0)
    # What each viewer watches next is drawn from the videos of their topic.
    viewer = np.repeat(np.arange(world.watches.viewers), 3)
    video = rng.integers(0, videos // 8, len(viewer)) * 8 + world.taste[viewer]
    held, viewers = later_long_views(world.watches, viewer, video, world.now_ms, videos, rng)
    blend = fit_blend(scores, held, viewers)
    found = source_ranks(scores, blend, held, viewers)
    assert set(found) == {*SOURCES, "blend"} and blend.weights[SOURCES[0]] == 1
    mean = {name: np.mean([recalls(found[name], held, k).mean() for k in CUTS]) for name in ("blend", SOURCES[0])}
    assert mean["blend"] >= mean[SOURCES[0]]


def test_without_anything_to_find_the_first_source_stands_alone(fit_of_a_world):
    world, fit = fit_of_a_world
    nobody = np.zeros(0, np.int64)
    held, viewers = later_long_views(
        world.watches, nobody, nobody, world.now_ms, len(world.table), np.random.default_rng(0)
    )
    blend = fit_blend(SourceScores(fit, world.table, world.watches, world.now_ms), held, viewers)
    assert [name for name, weight in blend.weights.items() if weight] == [SOURCES[0]]
