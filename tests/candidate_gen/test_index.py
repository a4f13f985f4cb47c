import faiss
import numpy as np
import pytest

from candidate_gen.index import IndexConfig, VideoIndex, one_thread
from core.errors import CorruptData

KINDS = ("flat", "ivf", "hnsw")


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 24))
    near = centres[rng.integers(0, 40, 3000)] + 0.4 * rng.normal(size=(3000, 24))
    return np.concatenate([near, rng.normal(size=(3000, 1))], axis=1).astype(np.float32)


def build(vectors, **config):
    return VideoIndex.build(np.arange(len(vectors), dtype=np.int32), vectors, IndexConfig(**config))


def brute(vectors, query, k):
    return np.argsort(-(vectors @ query), kind="stable")[:k]


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_finds_nearly_what_brute_force_finds(vectors, kind):
    index = build(vectors, kind=kind)
    for query in np.random.default_rng(1).normal(size=(10, 25)).astype(np.float32):
        rows, scores = index.search(query, 100)
        assert rows.dtype == np.int32 and scores.dtype == np.float32
        assert np.isin(brute(vectors, query, 100), rows).mean() >= 0.95
        np.testing.assert_allclose(scores, vectors[rows] @ query, rtol=1e-4, atol=1e-4)
        assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_video_is_found_before_the_next_rebuild(vectors, kind):
    index = build(vectors, kind=kind)
    query = np.ones(25, np.float32)
    index.add(np.asarray([7000], np.int32), 10 * query[None])
    assert index.search(query, 1)[0].tolist() == [7000]
    assert len(index) == 3001


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_comes_back_from_its_bytes(vectors, kind):
    index = build(vectors, kind=kind)
    again = VideoIndex.from_bytes(index.to_bytes())
    query = vectors[5]
    np.testing.assert_array_equal(index.search(query, 50)[0], again.search(query, 50)[0])


def test_bytes_that_are_no_index_are_refused():
    with pytest.raises(CorruptData):
        VideoIndex.from_bytes(b"not an index at all")


def test_excluded_rows_are_replaced_by_the_next_best(vectors):
    index, query = build(vectors), vectors[9]
    best = brute(vectors, query, 30)
    rows, _ = index.search(query, 20, exclude=best[:10].astype(np.int32))
    np.testing.assert_array_equal(rows, best[10:30])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 1, 30])
def test_a_tiny_catalogue_gives_all_that_it_has(vectors, kind, size):
    rows, _ = build(vectors[:size], kind=kind).search(vectors[0], 100)
    assert sorted(rows.tolist()) == list(range(size))


def test_serving_keeps_faiss_to_one_thread():
    one_thread()
    assert faiss.omp_get_max_threads() == 1
