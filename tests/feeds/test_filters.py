"""Each filter drops what it names and nothing else."""

import numpy as np
import pytest

from core.batch import CandidateBatch
from core.query import Query
from core.video_table import FRIENDS, PRIVATE, PUBLIC, REMOVED
from feeds import filters

QUERY = Query(viewer_id="ann", surface="for_you", session_id="s", now_ms=1, page=0, limit=20, seed=0)


def int32(*values):
    return np.array(values, np.int32)


def batch(rows=(10, 11, 12, 13), authors=(1, 2, 3, 1), visibility=(PUBLIC,) * 4):
    n = len(rows)
    columns = {"author": int32(*authors[:n]), "visibility": np.array(visibility[:n], np.uint8)}
    return CandidateBatch(int32(*rows), np.zeros(n, np.uint8), np.ones(n, np.uint32), columns)


def kept(stage, query=QUERY, candidates=None):
    candidates = batch() if candidates is None else candidates
    mask = stage.keep(query, candidates)
    assert mask.dtype == np.bool_ and mask.shape == (len(candidates),)
    return candidates.rows[mask].tolist()


@pytest.mark.parametrize(
    ("stage", "part", "values", "left"),
    [
        (filters.ServedFilter(), "served", int32(11, 13, 99), [10, 12]),
        (filters.SeenFilter(), "seen", int32(10, 12), [11, 13]),
        (filters.BlockedAuthorFilter(), "blocked_authors", int32(1), [11, 12]),
        (filters.HiddenAuthorFilter(), "hidden_authors", int32(3, 2), [10, 13]),
        (filters.OwnFilter(), "own_author", 2, [10, 12, 13]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_filter_drops_what_the_query_bans_and_keeps_all_when_it_bans_nothing(stage, part, values, left):
    assert kept(stage, QUERY.with_parts(**{part: values})) == left
    assert kept(stage) == [10, 11, 12, 13]


def test_only_public_videos_stay():
    assert kept(filters.RemovedFilter(), candidates=batch(visibility=(PUBLIC, FRIENDS, PRIVATE, REMOVED))) == [10]


def test_the_first_of_equal_videos_stays():
    candidates = batch(rows=(11, 10, 11, 10))
    assert filters.DuplicateFilter().keep(QUERY, candidates).tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    "stage",
    [
        filters.DuplicateFilter(), filters.RemovedFilter(), filters.ServedFilter(), filters.SeenFilter(),
        filters.OwnFilter(), filters.BlockedAuthorFilter(), filters.HiddenAuthorFilter(),
    ],
    ids=lambda stage: stage.name,
)  # fmt: skip
def test_no_candidates_give_an_empty_mask(stage):
    query = QUERY.with_parts(served=int32(1), seen=int32(1), blocked_authors=int32(1), own_author=1)
    assert kept(stage, query, batch(rows=())) == []
