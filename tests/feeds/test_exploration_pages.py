"""Pages with drawn places: which they are, what is logged of them, and that caps, pins and earlier records stand."""

import asyncio
from collections import Counter

import msgspec
import numpy as np
import pytest

from core.arrays import unpack
from core.engine import Engine
from core.errors import ContractError
from core.query import Query
from core.slate import Slate, decode_slate, encode_slate
from core.stages import Selection, Surface
from feeds.boosts import Rule
from feeds.config import ForYouConfig
from feeds.explain import explain
from feeds.exploration.new_videos import NewVideos
from feeds.exploration.plan import PLACKETT_LUCE, SLOTS, is_random
from feeds.exploration.stage import ExplorationSelector
from feeds.exploration.thompson import ThompsonScorer
from feeds.replay import replay
from feeds.reranking import ActiveRules
from feeds.surfaces import for_you
from tests.feeds.toy_feed import NOW_MS, EveryVideo, ToyFeed, ToyModels, ids

WEIGHTS = {"author_weight": 0, "topic_weight": 0, "exploration_every": 10}
WEIGHTS |= {"exploration_spread": 3.0, "exploration_temperature": 2.0}
PIN = Rule("v30", "", 1.0, 4, "ana", 0, NOW_MS + 1_000)


class Exploring:
    """The toy's surface with new videos 20 to 39, asked without a store."""

    def __init__(self, toy, rules=(), new=range(20, 40), **replaced):
        self.table = toy.state.table
        self.config = ForYouConfig(**({"author_cap": 40, "random_share": 0.0, **WEIGHTS} | replaced))
        mask = np.isin(np.arange(40), list(new))
        fresh = NewVideos(np.flatnonzero(mask).astype(np.int32), mask)
        active = ActiveRules(rules, self.table)
        self.surface = for_you((EveryVideo(self.table),), self.table, ToyModels(), self.config, fresh, active)

    def ranked(self, seed=1, limit=10, **parts):
        facts = {"viewer_id": "ann", "surface": "for_you", "session_id": "s", "now_ms": NOW_MS, "page": 0}
        return Engine().execute(self.surface, Query(**facts, limit=limit, seed=seed, **parts))


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return ToyFeed(tmp_path_factory.mktemp("toy"))


def rows(ranked):
    return ranked.batch.rows.tolist()


def test_the_tenth_place_is_drawn_among_the_new_and_the_others_keep_their_order(toy):
    ranked = Exploring(toy).ranked()
    assert rows(ranked)[:9] == list(range(9)) and rows(ranked)[9] in range(20, 40)
    assert (ranked.draw.policy, ranked.draw.places.tolist(), set(ranked.draw.rows)) == (SLOTS, [9], set(range(20, 40)))
    assert ranked.propensity[:9].tolist() == [1.0] * 9 and 0 < ranked.propensity[9] < 1


def test_what_is_logged_gives_the_chances_again(toy):
    ranked = Exploring(toy).ranked(limit=30)
    draw, left = ranked.draw, dict(zip(ranked.draw.rows.tolist(), ranked.draw.score.tolist(), strict=True))
    # the page of 30 has the videos 20 to 26 on it by right: 13 are left to draw from
    assert draw.places.tolist() == [9, 19, 29] and len(left) == 40 - 30
    for place in draw.places.tolist():
        weights = {row: np.exp(score / draw.temperature) for row, score in left.items()}
        row = rows(ranked)[place]
        assert ranked.propensity[place] == pytest.approx(weights[row] / sum(weights.values()))
        del left[row]


def test_seeds_differ_in_what_they_draw_and_one_seed_never_does(toy):
    exploring = Exploring(toy)
    drawn = [rows(exploring.ranked(seed))[9] for seed in range(40)]
    assert drawn == [rows(exploring.ranked(seed))[9] for seed in range(40)] and len(set(drawn)) > 3


def test_the_thompson_draw_is_of_the_video_and_the_hour(toy):
    exploring = Exploring(toy)

    def draws(ranked):
        return dict(zip(ranked.draw.rows.tolist(), ranked.draw.score.tolist(), strict=True))

    first = draws(exploring.ranked(1))
    assert draws(exploring.ranked(2)) == first
    assert draws(Exploring(toy).ranked(1, region="r0")) == first
    facts = {"viewer_id": "bob", "surface": "for_you", "session_id": "s", "page": 0, "limit": 10, "seed": 1}
    later = Engine().execute(exploring.surface, Query(now_ms=NOW_MS + 3_600_000, **facts))
    assert all(draws(later)[row] != score for row, score in first.items())


def test_about_the_declared_share_of_pages_is_drawn_as_a_whole_from_the_best_by_score(toy):
    config = ForYouConfig(random_share=0.02)
    facts = {"viewer_id": "a", "surface": "s", "session_id": "s", "now_ms": 0, "page": 0, "limit": 1}
    # 10,000 seeds: 200 within four deviations of 14
    assert 144 < sum(is_random(Query(seed=seed, **facts), config) for seed in range(10_000)) < 256
    exploring = Exploring(toy, random_share=1.0, random_pool=15, random_temperature=4.0)
    ranked = exploring.ranked(limit=10)
    assert ranked.draw.policy == PLACKETT_LUCE and ranked.draw.places.tolist() == list(range(10))
    assert set(ranked.draw.rows) == set(range(15)) >= set(rows(ranked))
    assert len({tuple(rows(exploring.ranked(seed))) for seed in range(20)}) == 20


def test_whatever_is_drawn_keeps_the_author_cap(toy):
    for seed in range(30):
        slots = Exploring(toy, author_cap=2).ranked(seed, limit=10)
        whole = Exploring(toy, author_cap=2, random_share=1.0, random_temperature=20.0).ranked(seed, limit=10)
        for ranked in (slots, whole):
            assert max(Counter(ranked.batch["author"].tolist()).values()) <= 2
            assert len(set(rows(ranked))) == 10


def test_a_pin_keeps_its_place_on_every_page(toy):
    for share in (0.0, 1.0):
        exploring = Exploring(toy, (PIN,), random_share=share, random_temperature=9.0)
        for seed in range(10):
            ranked = exploring.ranked(seed)
            assert rows(ranked)[4] == 30 and ranked.propensity[4] == 1.0 and rows(ranked).count(30) == 1
            assert len(set(rows(ranked))) == 10


def test_a_pin_never_comes_before_a_filter(toy):
    author = int(toy.state.table.author[30])
    ranked = Exploring(toy, (PIN,)).ranked(blocked_authors=np.array([author], np.int32))
    assert 30 not in rows(ranked)


def test_without_new_videos_or_on_a_short_page_nothing_is_random(toy):
    for exploring, limit in (
        (Exploring(toy, new=()), 10),
        (Exploring(toy), 9),
        (Exploring(toy, exploration_every=0), 20),
    ):
        ranked = exploring.ranked(limit=limit)
        assert rows(ranked) == list(range(limit)) and ranked.propensity is None and ranked.draw is None


def test_a_short_catalogue_still_fills_what_it_can(toy):
    ranked = Exploring(toy, random_share=1.0, author_cap=1).ranked(limit=20)
    assert len(rows(ranked)) == 6  # six authors


def test_nothing_may_reorder_after_a_random_choice(toy):
    class Reversing:
        name = "reversing"

        def select(self, query, batch):
            return Selection(np.arange(len(batch), dtype=np.int32)[::-1])

    exploring = Exploring(toy)
    exploring.surface = Surface("for_you", exploring.surface.sources, (*exploring.surface.steps, Reversing()))
    with pytest.raises(ContractError, match="after a random choice"):
        exploring.ranked()


def test_a_slate_and_its_detail_say_what_was_drawn_and_a_full_one_is_replayed(tmp_path):
    toy = ToyFeed(tmp_path)
    exploring = Exploring(toy)
    toy.surface = exploring.surface
    toy.feed._p.settings.__dict__["full_slate_share"] = 1.0
    page = toy.page(limit=10)
    slate, detail = (asyncio.run(read(page.slate_id)) for read in (toy.slates.get, toy.slates.get_detail))
    assert slate.video_ids == tuple(ids(page)) and (slate.policy, slate.drawn) == (SLOTS, (9,))
    arrays, _ = unpack(detail.served)
    score, temperature = arrays["pool_score"], arrays["temperature"][0]
    drawn = arrays["pool_rows"].tolist().index(arrays["rows"][9])
    weight = np.exp(score / temperature)
    assert slate.propensities == (1.0,) * 9 + (pytest.approx(weight[drawn] / weight.sum()),)
    assert ThompsonScorer.name in arrays
    assert toy.page(page=0, limit=10).slate_id == page.slate_id

    class ToyBundle(ToyModels):
        class manifest:
            bundle_id = "b1"

    again = asyncio.run(
        replay(toy.slates, page.slate_id, ToyBundle(), toy.surface, toy.state.table, slate.parameter_hash)
    )
    assert (again.fidelity, again.identical) == ("full", True)


def test_an_explanation_says_what_was_drawn(tmp_path):
    toy = ToyFeed(tmp_path)
    toy.surface = Exploring(toy, (PIN,)).surface
    page = toy.page(limit=10)

    class OtherBundle:
        class manifest:
            bundle_id, feature_names = "b2", ("row",)

    why = asyncio.run(explain(toy.slates, page.slate_id, OtherBundle(), toy.surface, toy.state.table))
    assert (why.policy, why.pool, why.temperature) == (SLOTS, 19, 2.0)  # the pinned one of 20 is on the page
    assert [video.drawn for video in why.videos] == [False] * 9 + [True]
    assert [video.pinned for video in why.videos] == [position == 4 for position in range(10)]
    assert why.videos[0].propensity == 1.0 > why.videos[9].propensity > 0
    assert why.videos[9].adjustments["thompson"] != 0.0 == why.videos[0].adjustments["thompson"]


def test_a_record_of_before_is_still_read():
    old = {"slate_id": "s", "viewer_id": "v", "session_id": "x", "surface": "for_you", "time_ms": 1, "page": 0}
    raw = msgspec.msgpack.encode(old | {"seed": 1, "video_ids": ["v1"], "sources": ["fresh"]})
    slate = decode_slate(raw)
    assert (slate.policy, slate.drawn, slate.propensities) == ("", (), ())
    new = Slate(**old | {"seed": 1, "video_ids": ("v1",), "sources": ("fresh",), "policy": SLOTS, "drawn": (0,)})
    assert decode_slate(encode_slate(new)) == new


def test_the_last_stage_alone_leaves_a_page_as_it_is_where_nothing_is_drawn(toy):
    ranked = Exploring(toy, exploration_every=0).ranked(limit=5)
    assert rows(ranked) == [0, 1, 2, 3, 4]
    assert isinstance(Exploring(toy).surface.steps[-1], ExplorationSelector)


def test_the_places_that_are_drawn_are_counted_and_so_are_whole_random_pages(tmp_path):
    counted = []
    toy = ToyFeed(tmp_path, parts={"drawn": lambda *counts: counted.append(counts)})
    for replaced in ({"exploration_every": 0}, {}, {"random_share": 1.0}):
        toy.surface = Exploring(toy, **replaced).surface
        toy.page(limit=10)
    toy.page(page=1, limit=10)  # again: it was drawn once
    assert counted == [(SLOTS, 1), (PLACKETT_LUCE, 10)]
