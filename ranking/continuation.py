"""A ranker that learns on: more trees on the newest rows, which start from what its trees say, and calibration at
the level of now."""

from collections.abc import Mapping, Sequence

import numpy as np

from core.arrays import Array, Float64
from ranking.bins import Codes
from ranking.calibration import Calibrator, at_level
from ranking.forest import Forest
from ranking.head_config import HeadConfig
from ranking.heads import Progress, TrainedHead, TrainedHeads, train_on
from ranking.labels import Part
from ranking.ranker import Ranker

MIN_OF_BOTH = 50
"""Positives and negatives below which a probability keeps its calibration: a few would only bring their chance."""


def continued(
    ranker: Ranker,
    codes: tuple[Codes, Codes],
    labels: tuple[Mapping[str, Array], Mapping[str, Array]],
    configs: Sequence[HeadConfig],
    threads: int = 2,
    progress: Progress | None = None,
    weights: Array | None = None,
) -> tuple[Ranker, TrainedHeads]:
    """The ranker with up to `rounds` more trees a head, and what was trained.

    `codes` (of its own bins) and `labels` are those of the rows to train on, with `weights`, and of the rows that stop
    and calibrate. A head with too few labels keeps its trees; one that the ranker lacks stays absent."""
    known = [config for config in configs if config.name in ranker.heads]
    before = [_by_head(ranker.forest, part) for part in codes]
    train = Part("training", codes[0], labels[0], weights, before[0])
    valid = Part("validation", codes[1], labels[1], start=before[1])
    grown = train_on(train, valid, ranker.feature_names, known, threads, progress)
    forest = joined(ranker.forest, grown.forest()) if grown.heads else ranker.forest
    scores = _by_head(forest, codes[1])
    calibrators = dict(ranker.calibrators)
    for config in known:
        calibrators[config.name] = _calibrated(config, scores[config.name], labels[1], calibrators[config.name])
    return Ranker(ranker.bins, forest, calibrators, ranker.feature_names), _whole(grown, known)


def joined(first: Forest, second: Forest) -> Forest:
    """The trees of each head of `first`, then those that `second` has for it; its score is the sum of both."""
    a, b = first.arrays(), second.arrays()
    owner = [np.repeat(np.arange(len(f.heads)), np.diff(f.head_start)) for f in (first, second)]
    place = np.array([first.heads.index(head) for head in second.heads], np.int64)
    heads = np.concatenate([owner[0], place[owner[1]]])
    order = np.argsort(heads, kind="stable")
    out: dict[str, Array] = {"head_start": _starts(np.bincount(heads, minlength=len(first.heads)))}
    for start, columns in (("split_start", ("feature", "threshold", "here", "right")), ("leaf_start", ("leaf_value",))):
        sizes = np.concatenate([np.diff(a[start]), np.diff(b[start])])
        at = _pieces(_starts(sizes)[:-1][order], sizes[order])
        out |= {name: np.concatenate([a[name], b[name]])[at] for name in columns}
        out[start] = _starts(sizes[order])
    return Forest(first.heads, first.features, out)


def _by_head(forest: Forest, codes: Codes) -> dict[str, Float64]:
    return dict(zip(forest.heads, forest.scores(codes).T, strict=True))


def _calibrated(config: HeadConfig, scores: Float64, labels: Mapping[str, Array], before: Calibrator) -> Calibrator:
    """A head's calibration at the level of the newest rows, or as it was where too few of them say anything.

    Its slope stays: most of these rows were chosen for their high predictions, which are high by chance in part, so a
    slope fitted to them is too flat for all that was not chosen."""
    label = np.asarray(labels[config.column], np.float64)
    seen = label[~np.isnan(label)]
    fewer = min(int((seen > 0).sum()), int((seen == 0).sum())) if config.objective == "binary" else len(seen)
    return at_level(before, scores, config.target(label)) if fewer >= MIN_OF_BOTH else before


def _whole(grown: TrainedHeads, known: Sequence[HeadConfig]) -> TrainedHeads:
    """Every head of the ranker: those without new trees have none of what a training gives."""
    heads = {
        config.name: grown.heads.get(config.name) or TrainedHead(config, "", 0, "", (), {}, 0, 0, 0.0)
        for config in known
    }
    return TrainedHeads(heads, grown.skipped, grown.feature_names, grown.binning_seconds)


def _starts(sizes: Array) -> Array:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _pieces(start: Array, size: Array) -> Array:
    """The positions start, start + 1, ... of each piece, one piece after the other."""
    return np.asarray(np.arange(size.sum()) + np.repeat(start - _starts(size)[:-1], size))
