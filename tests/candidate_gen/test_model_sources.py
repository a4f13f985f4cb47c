import numpy as np
import pytest

from candidate_gen.als import AlsConfig, fit_als, no_factors
from candidate_gen.blend import Blend, standardised
from candidate_gen.ease import EaseConfig, fit_ease
from candidate_gen.item_to_item import ItemToItemConfig, Neighbours, neighbours_of
from candidate_gen.model_sources import (
    AlsSource,
    AlsSourceConfig,
    BlendSource,
    BlendSourceConfig,
    EaseSource,
    EaseSourceConfig,
    NeighbourSource,
)
from candidate_gen.sources import ItemToItemSourceConfig
from core.stages import Source
from tests.candidate_gen.test_sources import queries
from tests.candidate_gen.worlds import query_of

QUOTA = 30
NAMES = ("als", "ease", "blend")


@pytest.fixture(scope="module")
def sources(world):
    videos = len(world.table)
    factors = fit_als(world.watches, videos, AlsConfig(factors=8, confidence=20, regularisation=5))
    als = AlsSource(factors, AlsSourceConfig(quota=QUOTA))
    ease = EaseSource(fit_ease(world.watches, videos, EaseConfig(neighbours=40)), EaseSourceConfig(quota=QUOTA))
    neighbours = neighbours_of(world.watches, videos, ItemToItemConfig())
    near = NeighbourSource(neighbours, ItemToItemSourceConfig(quota=QUOTA))
    blend = Blend({"als": 1.0, "ease": 0.5, "item_to_item": 0.25, "absent": 2.0})
    every = BlendSource((als, ease, near), blend, videos, BlendSourceConfig(quota=QUOTA))
    return {"als": als, "ease": ease, "blend": every, "item_to_item": near}


@pytest.mark.parametrize("name", NAMES)
def test_a_source_keeps_its_contract_for_every_viewer(world, sources, name):
    source = sources[name]
    assert isinstance(source, Source) and source.name == name
    for who, query in queries(world).items():
        rows = source.fetch(query)
        assert rows.dtype == np.int32, who
        assert len(rows) <= QUOTA and len(np.unique(rows)) == len(rows), who
        assert ((rows >= 0) & (rows < len(world.table))).all(), who
        assert not np.isin(rows, query.seen).any() and not np.isin(rows, query.served).any(), who


@pytest.mark.parametrize("name", NAMES)
def test_a_source_finds_more_of_the_viewers_topic(world, sources, name):
    topic = world.table.topic - 1
    found = [np.mean(topic[sources[name].fetch(query_of(world, v))[:10]] == world.taste[v]) for v in range(40)]
    assert np.mean(found) > 0.4  # by chance 1 / 8


def test_the_blend_ranks_by_the_weighted_sum_of_standardised_scores(world, sources):
    query, videos = query_of(world, 3), len(world.table)
    total = np.zeros(videos)
    for name, weight in (("als", 1.0), ("ease", 0.5), ("item_to_item", 0.25)):
        total += weight * standardised(sources[name].scores(query, videos)[None])[0].astype(np.float64)
    expected = sorted(range(videos), key=lambda row: -total[row])[:QUOTA]
    assert sources["blend"].fetch(query).tolist() == expected


def test_videos_that_came_after_the_fit_are_scored_zero(world, sources):
    query, videos = query_of(world, 3), len(world.table)
    for name in ("als", "ease", "item_to_item"):
        scores = sources[name].scores(query, videos + 5)
        assert len(scores) == videos + 5 and not scores[videos:].any(), name


def test_without_models_there_are_no_candidates(world):
    query = query_of(world, 3)
    als, ease = AlsSource(no_factors(), AlsSourceConfig()), EaseSource(Neighbours.none(), EaseSourceConfig())
    for source in (als, ease, BlendSource((als, ease), Blend({}), 9, BlendSourceConfig())):
        assert len(source.fetch(query)) == 0
