import numpy as np

from candidate_gen.als import AlsConfig, AlsFactors, als_similarity, fit_als
from candidate_gen.interactions import LONG_VIEW, SKIP, interactions_of
from candidate_gen.watch_weights import WatchWeights
from tests.candidate_gen.worlds import DAY_MS

SMALL = AlsConfig(factors=4, rounds=40, steps=12, confidence=5, regularisation=0.5, fold_in_steps=20)


def few_watches(seed=0, viewers=12, videos=9, each=5):
    rng = np.random.default_rng(seed)
    viewer = np.repeat(np.arange(viewers), each)
    time = np.tile(np.arange(each) * DAY_MS, viewers)
    signal = np.where(rng.random(len(viewer)) < 0.5, LONG_VIEW, SKIP)
    nothing = np.zeros((viewers, 0), np.int32)
    return interactions_of(viewer, rng.integers(0, videos, len(viewer)), time, signal, nothing, ())


def exact_side(indptr, column, weight, other, regularisation):
    """Each row's normal equations, solved one after the other in float64."""
    f = other.shape[1]
    solved = np.zeros((len(indptr) - 1, f))
    for row in range(len(indptr) - 1):
        a, b = other.T @ other + regularisation * np.eye(f), np.zeros(f)
        for at in range(indptr[row], indptr[row + 1]):
            y = other[column[at]]
            a += weight[at] * np.outer(y, y)
            b += weight[at] * y
        solved[row] = np.linalg.solve(a, b)
    return solved


def test_a_watch_weighs_by_what_was_done_and_halves_with_the_time_before_the_newest():
    weights = WatchWeights(signals=(0.3, 1, 1.2, 1.2, 0.25, 0, 0.5), half_life_ms=2 * DAY_MS)
    signal = np.array([LONG_VIEW, SKIP, 0, LONG_VIEW], np.uint8)
    time = np.array([0, 2, 4, 9], np.int64) * DAY_MS
    # The first viewer's newest watch is on day 4: 1 / 4, .25 / 2 and .3; the second has none, the third has one.
    found = weights.of(np.array([0, 3, 3, 4]), signal, time)
    np.testing.assert_allclose(found, [0.25, 0.125, 0.3, 1.0], rtol=1e-6)


def test_a_viewer_is_the_solution_of_their_normal_equations():
    watches = few_watches()
    als = fit_als(watches, 9, SMALL)
    weight = SMALL.confidence * SMALL.weights.of(watches.indptr, watches.signal, watches.time_ms)
    expected = exact_side(watches.indptr, watches.video, weight, als.videos.astype(np.float64), 0.5)
    found = als.viewers(watches.indptr, watches.video, watches.signal, watches.time_ms)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_factors_reach_the_loss_of_exact_alternation():
    watches = few_watches()
    weight = SMALL.confidence * SMALL.weights.of(watches.indptr, watches.signal, watches.time_ms)
    order = np.argsort(watches.video, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(watches.video, minlength=9))])
    y = np.random.default_rng(5).normal(size=(9, 4)) * 0.1
    for _ in range(SMALL.rounds):
        x = exact_side(watches.indptr, watches.video, weight, y, 0.5)
        y = exact_side(ends, watches.viewer()[order], weight[order], x, 0.5)

    def loss(x, y):
        scores = x @ y.T
        errors = weight * (1 - scores[watches.viewer(), watches.video]) ** 2
        return errors.sum() + (scores**2).sum() + 0.5 * ((x**2).sum() + (y**2).sum())

    als = fit_als(watches, 9, SMALL)
    found = als.viewers(watches.indptr, watches.video, watches.signal, watches.time_ms)
    assert loss(found, als.videos) < 1.02 * loss(x, y)


def test_the_same_seed_gives_the_same_bytes_and_they_are_read_back():
    first, second = (fit_als(few_watches(), 9, SMALL) for _ in range(2))
    assert first.to_bytes() == second.to_bytes()
    again = AlsFactors.from_bytes(first.to_bytes())
    assert np.array_equal(again.videos, first.videos) and again.config == first.config


def test_a_video_that_nobody_watched_has_no_vector_and_an_unknown_one_is_passed_over():
    watches = few_watches()
    als = fit_als(watches, 11, SMALL)
    assert not als.videos[9:].any()
    both = als.viewers(np.array([0, 2]), np.array([3, 99], np.int32), np.array([1, 1], np.uint8), np.array([5, 5]))
    one = als.viewers(np.array([0, 1]), np.array([3], np.int32), np.array([1], np.uint8), np.array([5]))
    assert np.array_equal(both, one)


def test_one_viewer_alone_gets_the_same_bits_as_among_many():
    watches = few_watches()
    als = fit_als(watches, 9, SMALL)
    every = als.viewers(watches.indptr, watches.video, watches.signal, watches.time_ms)
    own = slice(watches.indptr[7], watches.indptr[8])
    alone = als.viewers(np.array([0, 5]), watches.video[own], watches.signal[own], watches.time_ms[own])
    assert np.array_equal(alone[0], every[7])


def test_the_similarities_of_a_candidate_match_a_plain_loop():
    watches = few_watches()
    als = fit_als(watches, 9, SMALL)
    shape = (watches.viewers, 6)
    video, signal, time = np.zeros(shape, np.int32), np.zeros(shape, np.uint8), np.zeros(shape, np.int64)
    for row in range(watches.viewers):
        own = slice(watches.indptr[row], watches.indptr[row + 1])
        video[row, :5], signal[row, :5], time[row, :5] = watches.video[own], watches.signal[own], watches.time_ms[own]
    owner, candidate = np.array([3, 0, 7, 7]), np.array([2, 8, 1, 40])
    found = als_similarity(als, owner, video, signal, time, np.full(len(video), 5), candidate)
    vectors = als.viewers(watches.indptr, watches.video, watches.signal, watches.time_ms)

    def cosine(a, b):
        return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))

    for at in range(3):
        x, y = vectors[owner[at]], als.videos[candidate[at]]
        liked = video[owner[at], :5][signal[owner[at], :5] == LONG_VIEW]
        best = max([0.0, *(cosine(als.videos[row], y) for row in liked)])
        np.testing.assert_allclose(found[at], [x @ y, cosine(x, y), best], atol=1e-5)
    assert not found[3].any()
