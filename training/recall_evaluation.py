"""Retrieval on a held-out day: how many of the unseen long views each source and their blend rank on top."""

import msgspec
import numpy as np

from candidate_gen.blend import CUTS
from candidate_gen.recall import HeldOut, ndcgs, recalls
from core.arrays import Array, Int64
from core.video_table import VideoTable
from training.list_metrics import coverage, creator_gini, novelty
from training.log_data import LogData
from training.pipeline import Fitted
from training.source_scores import SourceScores, later_long_views, source_lists, source_ranks

ROUNDS = 400
LISTED = 20


class SourceRecall(msgspec.Struct, frozen=True, kw_only=True):
    """One way to rank the whole catalogue, seen videos removed."""

    source: str
    recall_at_20: float
    recall_at_100: float
    recall_at_500: float
    ndcg_at_20: float


class ListReport(msgspec.Struct, frozen=True, kw_only=True):
    """The first LISTED unseen videos that a source gives each viewer: the share of the catalogue that they use, how
    unusual they are (bits), and how unequally creators are listed (Gini index)."""

    source: str
    coverage: float
    novelty: float
    creator_gini: float


class RetrievalReport(msgspec.Struct, frozen=True, kw_only=True):
    """All sources, the blend's weights (tuned on the validation part alone) and its gain in recall@100 over
    item-to-item, with the 95% interval by resampling viewers."""

    viewers: int
    sources: list[SourceRecall]
    weights: dict[str, float]
    gain: float
    low: float
    high: float
    lists: list[ListReport]


def evaluate_retrieval(data: LogData, fitted: Fitted, test: Array, seed: int) -> RetrievalReport:
    """Measure the served fit, with the blend that the validation part chose, on the test day's impressions `test`."""
    watches, now_ms = data.interactions(), fitted.split.test_from_ms
    rows, rng, videos = fitted.rows, np.random.default_rng(seed), len(data.state.table)
    liked = test[rows.labels["long_view"][test] > 0]
    held, viewers = later_long_views(watches, rows.viewer[liked], rows.video[liked], now_ms, videos, rng)
    scores = SourceScores(fitted.serving, data.state.table, watches, now_ms)
    found = source_ranks(scores, fitted.blend, held, viewers)
    tops = source_lists(scores, fitted.blend, held, viewers, LISTED)
    counts = np.bincount(watches.before(now_ms).video, minlength=videos)
    gain, low, high = _gain(found["blend"], found["item_to_item"], held, rng)
    return RetrievalReport(
        viewers=len(held),
        sources=[source_recall(name, rank, held) for name, rank in found.items()],
        weights=dict(fitted.blend.weights),
        gain=gain,
        low=low,
        high=high,
        lists=[_lists(name, top, counts, data.state.table) for name, top in tops.items() if len(top)],
    )


def _lists(source: str, top: Array, counts: Array, table: VideoTable) -> ListReport:
    return ListReport(
        source=source,
        coverage=coverage(top, len(table)),
        novelty=novelty(top, counts),
        creator_gini=creator_gini(top, table.author - 1, len(table.authors) - 1),  # code 0 is nobody's
    )


def source_recall(name: str, rank: Int64, held: HeldOut) -> SourceRecall:
    """A source's figures from the ranks of the later videos [n]; nan where there are none."""
    if not len(held):
        return SourceRecall(
            source=name, recall_at_20=np.nan, recall_at_100=np.nan, recall_at_500=np.nan, ndcg_at_20=np.nan
        )
    at_20, at_100, at_500 = (float(recalls(rank, held, cut).mean()) for cut in CUTS)
    return SourceRecall(
        source=name,
        recall_at_20=at_20,
        recall_at_100=at_100,
        recall_at_500=at_500,
        ndcg_at_20=float(ndcgs(rank, held, 20).mean()),
    )


def _gain(ours: Int64, other: Int64, held: HeldOut, rng: np.random.Generator) -> tuple[float, float, float]:
    if not len(held):
        return np.nan, np.nan, np.nan
    difference = recalls(ours, held, 100) - recalls(other, held, 100)
    means = [difference[rng.integers(len(difference), size=len(difference))].mean() for _ in range(ROUNDS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(difference.mean()), float(low), float(high)
