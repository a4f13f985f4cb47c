"""Explains a slate from its record: for each video its sources, its value term by term, and what moved it."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from core.arrays import Array, unpack
from core.ports import SlateStore
from core.slate import Slate, SlateDetail
from core.stages import Surface, kind_of
from core.video_table import VideoTable
from feeds.bundle import RANKER_NAMES, Bundle
from feeds.details import read_full
from feeds.exploration.thompson import ThompsonScorer
from feeds.page import DroppedVideo, ExplainedVideo, Explanation, StageView, Term
from feeds.reranking import BoostScorer, FatigueScorer, FreshnessScorer
from feeds.stages import ExplorationScorer, ReactionScorer, ValueScorer

_SCORES: Final = (
    ValueScorer.name,
    ReactionScorer.name,
    ExplorationScorer.name,
    FreshnessScorer.name,
    FatigueScorer.name,
    BoostScorer.name,
    ThompsonScorer.name,
)


async def explain(
    slates: SlateStore, slate_id: str, bundle: Bundle, surface: Surface, table: VideoTable
) -> Explanation | None:
    """None when the slate is unknown. Terms are computed again from the recorded features by the slate's bundle;
    a slate of another bundle keeps its recorded values and has no terms."""
    slate = await slates.get(slate_id)
    if slate is None:
        return None
    detail = await slates.get_detail(slate_id)
    stages = [StageView(kind=kind, name=name) for kind, name in surface.components()]
    videos = _videos(slate, detail, bundle, surface) if detail is not None else _bare(slate)
    pool, temperature = _pool(detail)
    return Explanation(
        slate_id=slate.slate_id,
        viewer_id=slate.viewer_id,
        time_ms=slate.time_ms,
        bundle_id=slate.bundle_id,
        fidelity=slate.fidelity if detail is not None else "none",
        videos=videos,
        dropped=_dropped(detail, surface, table) if detail is not None else [],
        stages=stages,
        policy=slate.policy,
        pool=pool,
        temperature=temperature,
    )


def _pool(detail: SlateDetail | None) -> tuple[int, float]:
    """How many videos places were drawn from, and T; zeros where nothing was random."""
    arrays = unpack(detail.served)[0] if detail is not None else {}
    return (len(arrays["pool_rows"]), float(arrays["temperature"][0])) if "pool_rows" in arrays else (0, 0.0)


def _bare(slate: Slate) -> list[ExplainedVideo]:
    """What is known before the detail was written."""
    nothing: dict[str, Term] = {}
    return [
        ExplainedVideo(
            video_id=video_id, position=position, source=source, sources=[source],
            value=0.0, value_rank=position, terms=nothing, features={}, moved=0, drawn=position in slate.drawn,
            propensity=_propensity(slate, position),
        )
        for position, (video_id, source) in enumerate(zip(slate.video_ids, slate.sources, strict=True))
    ]  # fmt: skip


def _videos(slate: Slate, detail: SlateDetail, bundle: Bundle, surface: Surface) -> list[ExplainedVideo]:
    arrays, _ = unpack(detail.served)
    names = [source.name for source in surface.sources]
    terms = _terms(slate, arrays, bundle)
    explained = []
    for position, video_id in enumerate(slate.video_ids):
        mask = int(arrays["source_mask"][position])
        rank = int(arrays["value_rank"][position])
        explained.append(
            ExplainedVideo(
                video_id=video_id,
                position=position,
                source=slate.sources[position],
                sources=[name for number, name in enumerate(names) if mask >> number & 1],
                value=float(arrays["value"][position]),
                value_rank=rank,
                terms=terms[position],
                features=_features(arrays["features"][position], bundle),
                moved=rank - position,
                adjustments=_adjustments({name: arrays[name][position] for name in _SCORES if name in arrays}),
                drawn=position in slate.drawn,
                propensity=_propensity(slate, position),
                pinned="pin" in arrays and int(arrays["pin"][position]) == position,
            )
        )
    return explained


def _propensity(slate: Slate, position: int) -> float:
    """P(the video of this position | those above it); 1 where nothing was random."""
    return slate.propensities[position] if slate.propensities else 1.0


def _adjustments(scores: Mapping[str, float]) -> dict[str, float]:
    """What each scorer after the value added to it; an older slate does not know of all."""
    steps = pairwise(name for name in _SCORES if name in scores)
    return {after: float(scores[after] - scores[before]) for before, after in steps}


def _features(row: Array, bundle: Bundle) -> dict[str, float]:
    names: Sequence[str] = RANKER_NAMES if len(row) == len(RANKER_NAMES) else bundle.manifest.feature_names
    return {name: float(value) for name, value in zip(names, row, strict=False)}


def _terms(slate: Slate, arrays: dict[str, Array], bundle: Bundle) -> list[dict[str, Term]]:
    count = len(slate.video_ids)
    if slate.bundle_id != bundle.manifest.bundle_id or not count:
        return [{} for _ in range(count)]
    predictions = bundle.predictions(arrays["features"])
    weights = bundle.value_model.config.weights
    return [
        {
            head: Term(
                prediction=float(values[position]),
                weight=weights.get(head, 0.0),
                term=float(values[position]) * weights.get(head, 0.0),
            )
            for head, values in predictions.items()
        }
        for position in range(count)
    ]


def _dropped(detail: SlateDetail, surface: Surface, table: VideoTable) -> list[DroppedVideo]:
    full = read_full(detail)
    if full is None:
        return []
    return [
        DroppedVideo(
            video_id=table.video_ids[full.candidates.rows[index]],
            stage=surface.steps[full.dropped[index]].name,
            kind=kind_of(surface.steps[full.dropped[index]]),
        )
        for index in np.flatnonzero(full.dropped >= 0).tolist()
    ]
