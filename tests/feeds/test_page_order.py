"""The page place by place: the DPP is the greedy log-determinant, shares and pins hold, and without them it is MMR."""

import numpy as np
import pytest

from feeds.diversity import diverse_order
from feeds.page_order import Candidates, Prices, log_novelty, page_order


def candidates(score, author=None, topic=None, vectors=None, followed=(), pin=None, watched=()):
    n = len(score)
    pins = np.full(n, -1, np.int32)
    for index, place in (pin or {}).items():
        pins[index] = place
    return Candidates(
        score=np.asarray(score, np.float64),
        author=np.asarray(np.arange(1, n + 1) if author is None else author, np.int32),
        topic=np.asarray(np.zeros(n) if topic is None else topic, np.int32),
        vectors=np.asarray(np.eye(n) if vectors is None else vectors, np.float32),
        followed=np.isin(np.arange(n), followed),
        pin=pins,
        watched_author=np.array([a for a, _ in watched], np.int32),
        watched_topic=np.array([t for _, t in watched], np.int32),
    )


def order(limit=20, cap=20, prices=None, **columns):
    return page_order(candidates(**columns), limit, Prices(cap, **(prices or {}))).tolist()


def units(rng, n, dim):
    vectors = rng.normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_without_options_it_is_the_plain_order():
    rng = np.random.default_rng(5)
    for _ in range(60):
        n, limit = int(rng.integers(1, 40)), int(rng.integers(1, 25))
        watched = rng.integers(0, 5, (int(rng.integers(0, 15)), 2)).tolist()
        c = candidates(
            rng.normal(size=n), rng.integers(0, 8, n), rng.integers(0, 4, n), units(rng, n, 4), watched=watched
        )
        weights = float(rng.choice([0, 0.3])), float(rng.choice([0, 0.2])), float(rng.choice([0, 0.4]))
        cap, window = int(rng.integers(1, 4)), int(rng.integers(1, 12))
        plain = diverse_order(
            c.score, c.author, c.topic, c.vectors, limit, cap, *weights, window, c.watched_author, c.watched_topic
        )
        assert page_order(c, limit, Prices(cap, *weights, window)).tolist() == plain.tolist()


def test_the_dpp_is_the_greedy_log_determinant_of_the_last_places():
    """Against brute force: at each place every candidate's log det of the window with it, less that without."""
    rng, own = np.random.default_rng(8), 0.01
    score, vectors = 0.3 * rng.normal(size=25), units(rng, 25, 5)
    vectors[7] = vectors[3]  # twins
    kernel = (1 - own) * vectors.astype(np.float64) @ vectors.T + own * np.eye(25)

    def log_det(some):
        return np.linalg.slogdet(kernel[np.ix_(some, some)])[1]

    for window in (1, 3, 10):
        chosen = []
        while len(chosen) < 12:
            left, last = set(range(25)) - set(chosen), chosen[-window:]
            gains = {i: score[i] + 0.4 * (log_det([*last, i]) - log_det(last)) for i in left}
            chosen.append(max(gains, key=gains.get))
        prices = {"dpp_weight": 0.4, "dpp_window": window}
        assert order(limit=12, score=score, vectors=vectors, prices=prices) == chosen


def test_a_twin_has_nothing_new_and_a_video_without_a_vector_is_all_new():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], np.float32)
    new = log_novelty(vectors, [0])
    assert new[2:].tolist() == [0.0, 0.0]
    # of the twin's variance 1 - 0.99^2 is left
    assert new[1] == pytest.approx(np.log(1 - 0.99**2))
    assert order(score=[3, 2, 1], vectors=vectors[:3], prices={"dpp_weight": 0.5}) == [0, 2, 1]


def test_every_beginning_of_the_page_keeps_the_share_of_followed_authors():
    rng = np.random.default_rng(2)
    for low, high in ((0.5, 1.0), (0.0, 0.25), (0.3, 0.6)):
        score, followed = rng.normal(size=60), np.arange(25)
        prices = {"network_min_share": low, "network_max_share": high}
        page = np.array(order(limit=20, score=score, followed=followed, prices=prices))
        inside = np.cumsum(page < 25)
        length = np.arange(1, 21)
        assert (inside >= np.floor(low * length)).all() and (inside <= np.ceil(high * length)).all()


def test_a_share_that_cannot_be_had_does_not_shorten_the_page():
    assert order(score=[3, 2, 1], followed=[], prices={"network_min_share": 1.0}) == [0, 1, 2]
    assert order(score=[3, 2, 1], followed=[0, 1, 2], prices={"network_max_share": 0.0}) == [0, 1, 2]


def test_a_pin_has_its_place_and_the_best_of_those_for_the_same_one():
    assert order(score=[9, 8, 7, 1], pin={3: 1}) == [0, 3, 1, 2]
    assert order(score=[9, 8, 1, 2], pin={2: 0, 3: 0}) == [3, 0, 1, 2]
    # its author has one place of two already, so only one other comes, and a place beyond the page is none
    assert order(score=[9, 8, 7, 1], author=[4, 4, 5, 4], pin={3: 2}, cap=2, limit=3) == [0, 2, 3]
    assert order(score=[9, 8, 1], pin={2: 5}, limit=2) == [0, 1]


def test_a_pin_beyond_the_candidates_still_comes():
    assert order(score=[9, 8], pin={0: 4}) == [1, 0]
