"""Diverse selection: by value first, with a cap for authors and a price for likeness and repeated topics."""

import numpy as np
import pytest

from feeds.diversity import diverse_order


def order(
    value, author=None, topic=None, vectors=None, limit=20, cap=2, similarity=0.0, topics=0.0, authors=0.0, window=10,
    watched=(),
):  # fmt: skip
    n = len(value)
    author = np.arange(1, n + 1) if author is None else author
    topic = np.arange(n) if topic is None else topic
    vectors = np.zeros((n, 3)) if vectors is None else vectors
    return diverse_order(
        np.asarray(value, np.float64), np.asarray(author, np.int32), np.asarray(topic, np.int32),
        np.asarray(vectors, np.float32).reshape(n, -1) if n else np.zeros((0, 3), np.float32),
        limit, cap, similarity, topics, authors, window,
        np.array([a for a, _ in watched], np.int32), np.array([t for _, t in watched], np.int32),
    ).tolist()  # fmt: skip


def obvious(value, author, topic, vectors, limit, cap, similarity, topics, authors, window, watched):
    """The same, one candidate at a time."""
    chosen = []
    while len(chosen) < limit:
        scores = {}
        for i in range(len(value)):
            if i in chosen or sum(author[c] == author[i] > 0 for c in chosen) >= cap:
                continue
            lately = [*watched, *((author[c], topic[c]) for c in chosen)][-window:]
            same = sum(a == author[i] > 0 for a, _ in lately)
            alike = sum(float(np.dot(vectors[c].astype(float), vectors[i].astype(float))) for c in chosen)
            repeats = sum(t == topic[i] > 0 for _, t in lately)
            scores[i] = value[i] - topics * repeats - authors * same - similarity * alike / max(len(chosen), 1)
        if not scores:
            break
        best = max(scores.values())
        chosen.append(min(i for i, score in scores.items() if score >= best - 1e-9))
    return chosen


def test_without_weights_it_is_the_order_by_value_and_ties_go_to_the_lower_index():
    assert order([0.1, 0.9, 0.5, 0.9, 0.1]) == [1, 3, 2, 0, 4]


def test_an_author_has_at_most_the_cap_and_unknown_authors_have_none():
    assert order([5, 4, 3, 2], author=[7, 7, 7, 8], cap=2) == [0, 1, 3]
    assert order([5, 4, 3], author=[0, 0, 0], cap=1) == [0, 1, 2]


def test_a_repeated_topic_costs_its_weight_within_the_window():
    # after 0, candidate 1 is worth 4 - 2 x 1 = 2 < 3
    assert order([5, 4, 3], topic=[1, 1, 2], topics=2.0) == [0, 2, 1]
    # with a window of one place the price of 0 is forgotten when 1 was chosen
    assert order([9, 8, 4, 3], topic=[1, 2, 1, 3], topics=2.0, window=1) == [0, 1, 2, 3]
    assert order([9, 8, 4, 3], topic=[1, 2, 1, 3], topics=2.0, window=2) == [0, 1, 3, 2]


def test_an_unknown_topic_is_never_the_same():
    assert order([5, 4, 3], topic=[0, 0, 1], topics=100.0) == [0, 1, 2]


def test_a_second_video_of_an_author_costs_its_weight():
    # after 0, candidate 1 is worth 4 - 1.5 = 2.5 < 3
    assert order([5, 4, 3], author=[7, 7, 8], authors=1.5) == [0, 2, 1]


def test_what_was_watched_before_the_page_costs_too_until_the_window_has_passed_it():
    # the topic was watched twice: candidate 0 is worth 5 - 2 x 2 = 1 < 3, and 3 after the first watch left the window
    assert order([5, 4, 3], topic=[1, 2, 3], topics=2.0, watched=[(0, 1), (0, 1)], window=3) == [1, 2, 0]
    assert order([5, 2.5, 2], topic=[1, 2, 3], topics=2.0, watched=[(0, 1), (0, 1)], window=2) == [1, 0, 2]
    # an author watched before costs their weight, and has all places of the page still
    assert order([5, 4, 4], author=[7, 7, 8], authors=1.5, watched=[(7, 0)], cap=2) == [2, 0, 1]


def test_likeness_to_the_page_costs_its_mean():
    # 1 is the twin of 0: 4 - 3 x 1 = 1 < 2
    assert order([5, 4, 2], vectors=[[1, 0, 0], [1, 0, 0], [0, 1, 0]], similarity=3.0) == [0, 2, 1]


def test_an_infinite_dislike_of_likeness_still_fills_the_page():
    vectors = np.tile([1.0, 0, 0], (6, 1))
    assert sorted(order([1] * 6, vectors=vectors, similarity=1e12, topics=1e12, topic=[1] * 6)) == list(range(6))


@pytest.mark.parametrize(("count", "limit"), [(0, 5), (5, 0), (3, 20), (1, 1)])
def test_a_page_is_as_long_as_the_limit_or_the_candidates(count, limit):
    assert len(order(np.ones(count), limit=limit)) == min(count, limit)


@pytest.mark.parametrize("width", [0, 1])
def test_vectors_may_have_no_or_one_dimension(width):
    assert order([1, 2, 3], vectors=np.ones((3, width)), similarity=0.1) == [2, 1, 0]


def test_no_candidate_is_lost_or_doubled_and_the_order_is_the_obvious_one():
    rng = np.random.default_rng(11)
    for _ in range(150):
        n = int(rng.integers(1, 40))
        vectors = rng.normal(size=(n, 4)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        facts = {
            "value": rng.normal(size=n), "author": rng.integers(0, 8, n), "topic": rng.integers(0, 4, n),
            "vectors": vectors, "limit": int(rng.integers(0, 30)), "cap": int(rng.integers(1, 4)),
            "similarity": float(rng.choice([0, 0.3, 5])), "topics": float(rng.choice([0, 0.2, 5])),
            "window": int(rng.integers(1, 12)), "authors": float(rng.choice([0, 0.4])),
            "watched": rng.integers(0, 5, (int(rng.integers(0, 15)), 2)).tolist(),
        }  # fmt: skip
        got = order(**facts)
        assert len(set(got)) == len(got) <= facts["limit"]
        assert got == obvious(**facts)
