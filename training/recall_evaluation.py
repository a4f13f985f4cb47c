"""Retrieval on a held-out day: how many of the unseen long views each source and their blend rank on top."""

import msgspec
import numpy as np

from candidate_gen.blend import blended, fit_weights
from candidate_gen.examples import histories_at
from candidate_gen.interactions import Interactions
from candidate_gen.item_to_item import Neighbours
from candidate_gen.recall import HeldOut, hits, ndcg_at, recall_at, top_rows, without_seen
from candidate_gen.sources import ItemToItemSource, ItemToItemSourceConfig
from candidate_gen.viewer_view import History
from core.arrays import Array, Float32
from training.cross import CrossFeatures
from training.log_data import LogData
from training.pipeline import Fitted

VIEWERS = 3_000
CUTS = (20, 100, 500)
ROUNDS = 400


class SourceRecall(msgspec.Struct, frozen=True, kw_only=True):
    """One way to rank the whole catalogue, seen videos removed."""

    source: str
    recall_at_20: float
    recall_at_100: float
    recall_at_500: float
    ndcg_at_20: float


class RetrievalReport(msgspec.Struct, frozen=True, kw_only=True):
    """All sources, the blend's weights (tuned on the validation part alone) and its gain in recall@100 over
    item-to-item, with the 95% interval by resampling viewers."""

    viewers: int
    sources: list[SourceRecall]
    weights: dict[str, float]
    gain: float
    low: float
    high: float


def evaluate_retrieval(data: LogData, fitted: Fitted, test: Array, seed: int) -> RetrievalReport:
    """Tune on the validation part with the first fit, measure on the test day with the served fit."""
    watches, split = data.interactions(), fitted.split
    rng = np.random.default_rng(seed)
    valid = fitted.ranking.valid_index
    tune, tune_viewers = _held_out(data, watches, fitted, valid, split.valid_from_ms, rng)
    scores = _scores(data, watches, fitted.early_cross, fitted.early.neighbours, tune_viewers, split.valid_from_ms)
    names = list(scores)
    weights, _ = fit_weights(list(scores.values()), tune)
    held, viewers = _held_out(data, watches, fitted, test, split.test_from_ms, rng)
    scores = _scores(data, watches, fitted.cross, fitted.serving.neighbours, viewers, split.test_from_ms)
    scores["blend"] = blended(list(scores.values()), weights)
    videos = len(data.state.table)
    tops = {name: top_rows(without_seen(s, held), CUTS[-1]) for name, s in scores.items()}
    gain, low, high = _gain(tops["blend"], tops["item_to_item"], held, videos, rng)
    return RetrievalReport(
        viewers=len(held),
        sources=[_recall(name, top, held, videos) for name, top in tops.items()],
        weights=dict(zip(names, weights, strict=True)),
        gain=gain,
        low=low,
        high=high,
    )


def _recall(name: str, top: Array, held: HeldOut, videos: int) -> SourceRecall:
    recalls = [recall_at(top, held, videos, k) for k in CUTS]
    return SourceRecall(
        source=name,
        recall_at_20=recalls[0],
        recall_at_100=recalls[1],
        recall_at_500=recalls[2],
        ndcg_at_20=ndcg_at(top[:, :20], held, videos, 20),
    )


def _gain(
    ours: Array, other: Array, held: HeldOut, videos: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    wanted = np.maximum(np.diff(held.indptr), 1)
    found = [hits(top[:, :100], held, videos).sum(axis=1) / wanted for top in (ours, other)]
    difference = found[0] - found[1]
    means = [difference[rng.integers(len(difference), size=len(difference))].mean() for _ in range(ROUNDS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(difference.mean()), float(low), float(high)


def _held_out(
    data: LogData, watches: Interactions, fitted: Fitted, index: Array, now_ms: int, rng: np.random.Generator
) -> tuple[HeldOut, Array]:
    """Unseen long views among impressions `index` of at most VIEWERS viewers who have a history before `now_ms`."""
    rows, videos = fitted.rows, len(data.state.table)
    past = watches.before(now_ms)
    long_view = index[rows.labels["long_view"][index] > 0]
    pair = rows.viewer[long_view].astype(np.int64) * videos + rows.video[long_view]
    seen_pair = past.viewer().astype(np.int64) * videos + past.video
    pair = np.setdiff1d(pair, seen_pair)
    has_history = np.diff(past.indptr) > 0
    pair = pair[has_history[pair // videos]]
    viewers = np.unique(pair // videos)
    if len(viewers) > VIEWERS:
        viewers = np.sort(rng.choice(viewers, VIEWERS, replace=False))
        pair = pair[np.isin(pair // videos, viewers)]
    seen = np.unique(seen_pair[np.isin(seen_pair // videos, viewers)])

    def csr(of: Array) -> tuple[Array, Array]:
        counts = np.bincount(np.searchsorted(viewers, of // videos), minlength=len(viewers))
        return np.concatenate([[0], np.cumsum(counts)]), (of % videos).astype(np.int32)

    return HeldOut(*csr(pair), *csr(seen)), viewers


def _scores(
    data: LogData, watches: Interactions, cross: CrossFeatures, neighbours: Neighbours, viewers: Array, now_ms: int
) -> dict[str, Float32]:
    """Scores of the whole catalogue by source, each [viewers, videos] float32."""
    past, videos = watches.before(now_ms), len(data.state.table)
    ends = past.indptr[viewers + 1]
    now = np.full(len(viewers), now_ms, np.int64)
    histories = histories_at(past, viewers, now, ends, cross.history)
    tower = cross.towers.viewer.encode_many(histories, past.profile[viewers]) @ cross.towers.vectors.T
    source = ItemToItemSource(neighbours, ItemToItemSourceConfig())
    item = np.zeros((len(viewers), videos), np.float32)
    for at, viewer in enumerate(viewers):
        window = slice(max(past.indptr[viewer], past.indptr[viewer + 1] - 50), past.indptr[viewer + 1])
        history = History(past.video[window], past.signal[window], past.time_ms[window])
        rows, score = neighbours.score(history.video, source.weights(history))
        item[at, rows] = score
    recent = past.time_ms >= now_ms - 2 * 86_400_000
    popular = np.log1p(np.bincount(past.video[recent], minlength=videos)).astype(np.float32)
    return {
        "two_tower": tower.astype(np.float32),
        "item_to_item": item,
        "popular": np.broadcast_to(popular, (len(viewers), videos)).copy(),
    }
