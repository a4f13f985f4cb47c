"""Trains the two towers with a sampled softmax whose every correction has a name and a switch."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from candidate_gen.examples import histories_at
from candidate_gen.interactions import POSITIVE, Interactions
from candidate_gen.modules import VideoInputs, VideoTower, ViewerTower
from candidate_gen.recall import HeldOut, recall_at, top_rows, without_seen
from candidate_gen.steps import Corpus, Examples, Step, StepMaker, corpus_of, examples_of
from candidate_gen.tower_config import TowerConfig
from candidate_gen.towers import TowerArrays
from candidate_gen.towers import VideoTower as VideoVectors
from candidate_gen.towers import ViewerTower as ViewerVectors
from candidate_gen.video_fields import field_codes, field_sizes
from core.arrays import Float32, Int32
from core.errors import InputError
from core.video_table import VideoTable

_WARM_UP_STEPS = 50
Start = Callable[[Interactions], Float32]
"""Vectors [videos, <= inputs] that ids begin at, from the watches that the towers may learn from."""

_NEVER = -1e9


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: its mean loss and the recall@100 of the held-out end (nan where nothing was held out)."""

    epoch: int
    loss: float
    recall_at_100: float


@dataclass(frozen=True)
class TrainedTowers:
    """The towers as arrays, and how the epochs that chose them went."""

    arrays: TowerArrays
    curve: tuple[EpochRecord, ...]


class TwoTowers(nn.Module):
    """The video and viewer towers over shared video inputs, and what is fixed about every video."""

    def __init__(self, config: TowerConfig, table: VideoTable, profile: tuple[int, ...]) -> None:
        super().__init__()
        self.config, sizes = config, field_sizes(table)
        rows = np.arange(len(table), dtype=np.int32)
        self.codes = torch.from_numpy(field_codes(table, rows, sizes).astype(np.int64))
        self.content = torch.zeros(len(table), 0)
        if table.embedding_dim:
            self.content = torch.from_numpy(np.array(table.embedding, np.float32))
        c, videos, width = config, len(table), self.content.shape[1]
        self.inputs = VideoInputs(videos, sizes, width, c.inputs, c.id_dropout)
        self.video = VideoTower(videos, c.inputs, c.hidden, c.dim)
        self.viewer = ViewerTower(c.history, c.inputs, profile, c.profile_width, c.hidden, c.dim)

    def forward(self, step: dict[str, Tensor]) -> Tensor:
        """Uncorrected scores of the step's columns. [n, columns]"""
        rows = step["rows"]
        x = self.inputs(rows, self.codes[rows], self.content[rows])
        past = functional.embedding(step["history"], x)
        u = self.viewer(past, step["known"], step["signal"], step["gap"], step["profile"])
        y = self.video(x[step["columns"]])
        if self.config.normalise:
            u, y = functional.normalize(u, dim=1), functional.normalize(y, dim=1)
        bias = self.video.bias(rows[step["columns"]], step["log_share"], step["age"])
        scores: Tensor = (u / self.config.temperature) @ y.T
        return scores + functional.embedding(step["time"], bias)


def tensors(step: Step) -> dict[str, Tensor]:
    """The step's arrays as tensors over the same memory."""
    return {item.name: torch.from_numpy(getattr(step, item.name)) for item in fields(step)}


def softmax_loss(scores: Tensor, step: dict[str, Tensor], config: TowerConfig) -> Tensor:
    """Cross entropy of a sampled softmax: the positive as it is, every other column corrected by `correction`. []"""
    positive = step["positive"][:, None]
    own = scores.gather(1, positive)
    logits = scores + step["correction"]
    if config.history_hits:
        logits[step["hits"][0], step["hits"][1]] = _NEVER
    kept = own
    if not config.accidental_hits:
        copy = step["correction"][positive].exp() / (step["repeats"][:, None] + 1)
        kept = own + torch.log1p(step["repeats"][:, None] * copy)
    logits = logits.scatter_(1, positive, kept)
    loss = torch.logsumexp(logits, dim=1) - own[:, 0]
    weight = step["weight"]
    return (loss * weight).sum() / weight.sum()


def pointwise_loss(scores: Tensor, step: dict[str, Tensor], config: TowerConfig) -> Tensor:
    """Binary cross entropy of each example's own score against how its watch went. []"""
    own = scores.gather(1, step["positive"][:, None])[:, 0]
    return functional.binary_cross_entropy_with_logits(own, step["outcome"])


LOSSES = {"softmax": softmax_loss, "pointwise": pointwise_loss}


class Trainer:
    """Owns one model, its optimizer and its steps."""

    def __init__(
        self,
        corpus: Corpus,
        examples: Examples,
        table: VideoTable,
        config: TowerConfig,
        start: Float32 | None = None,
    ) -> None:
        if len(examples.at) == 0:
            raise InputError("There is no watch to learn from in this time span; widen it.")
        torch.manual_seed(config.seed)
        self._config = config
        self.model = TwoTowers(config, table, corpus.watches.profile_sizes)
        if start is not None and config.start_length:
            self.model.inputs.start_from(torch.from_numpy(start[:, : config.inputs]), config.start_length)
        self._steps = StepMaker(corpus, examples, config, np.random.default_rng(config.seed))
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(),
            config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
        )
        expected = (
            min(float(np.minimum(examples.weight, 1).sum()), config.epoch_examples) * config.epochs / config.batch
        )
        self._total, self._done = max(1.0, expected), 0

    def epoch(self) -> float:
        """One pass over the examples; its mean loss."""
        self.model.train()
        losses = []
        for batch in self._steps.epoch():
            self._set_rate()
            step = tensors(self._steps.make(batch))
            loss = LOSSES[self._config.loss](self.model(step), step, self._config)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._done += 1
            losses.append(loss.item())
        self.model.eval()
        return float(np.mean(losses))

    def _set_rate(self) -> None:
        warm = min(1.0, (self._done + 1) / min(_WARM_UP_STEPS, self._total))
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, self._done / self._total)))
        for group in self._optimizer.param_groups:
            group["lr"] = self._config.learning_rate * warm * max(0.02, cosine)


def exported(model: TwoTowers, corpus: Corpus, until_ms: int, words: tuple[tuple[str, ...], ...]) -> TowerArrays:
    """The model as plain arrays as of `until_ms`; the ids of videos that nobody had watched become zero."""
    parameters = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
    watches, popularity = corpus.watches, corpus.popularity
    watched = np.bincount(watches.video[watches.time_ms < until_ms], minlength=corpus.videos)
    parameters["inputs.ids"][watched == 0] = 0
    counts = popularity.counts[int(popularity.step(np.asarray(until_ms)))]
    c = model.config
    return TowerArrays(
        parameters, counts, c.history, c.normalise, c.temperature, until_ms, words
    )  # fmt: skip


@dataclass(frozen=True)
class Holdout:
    """The end of the watches: `viewer` [n] with first-time positives in it, from `from_ms`."""

    viewer: Int32
    from_ms: int
    held: HeldOut

    def recall(self, arrays: TowerArrays, corpus: Corpus, table: VideoTable) -> float:
        """Mean recall@100 of the towers, as of `from_ms`, over the whole catalogue."""
        rows = np.arange(len(table), dtype=np.int32)
        videos = VideoVectors(arrays)
        viewers = ViewerVectors(arrays, videos.inputs(table, rows))
        watches, now = corpus.watches, np.full(len(self.viewer), self.from_ms)
        past = histories_at(watches, self.viewer, now, watches.indptr[self.viewer + 1], arrays.history)
        u = viewers.encode_many(past, watches.profile[self.viewer])
        scores = u @ videos.embed(table, rows, self.from_ms).T
        return recall_at(top_rows(without_seen(scores, self.held), 100), self.held, len(table), 100)


def holdout_of(corpus: Corpus, config: TowerConfig, until_ms: int) -> Holdout:
    """The last `holdout_ms` before `until_ms`, for at most `holdout_viewers` viewers."""
    from_ms, watches = until_ms - config.holdout_ms, corpus.watches
    later = examples_of(corpus, config, from_ms, until_ms).at
    later = later[(watches.signal[later] & POSITIVE) > 0]
    viewer = np.unique(corpus.viewer[later])
    rng = np.random.default_rng(config.seed)
    viewer = np.sort(rng.permutation(viewer)[: config.holdout_viewers])
    chosen = np.isin(corpus.viewer, viewer)
    before = np.flatnonzero(chosen & (watches.time_ms < from_ms))
    later = later[chosen[later]]
    counts = [np.searchsorted(viewer, corpus.viewer[at]) for at in (later, before)]
    bounds = [np.cumsum([0, *np.bincount(c, minlength=len(viewer))]) for c in counts]
    held = HeldOut(bounds[0], watches.video[later], bounds[1], watches.video[before])
    return Holdout(viewer, from_ms, held)


def train_towers(
    watches: Interactions,
    table: VideoTable,
    config: TowerConfig,
    from_ms: int,
    until_ms: int,
    profile_words: tuple[tuple[str, ...], ...] = (),
    start: Start | None = None,
) -> TrainedTowers:
    """Towers fitted to the positives in [from_ms, until_ms), each with the history strictly before it. The end is
    held out to find the best number of epochs; with `refit` everything is then trained for that number. With `start`
    the ids begin at vectors that know nothing of the end either."""
    words = profile_words or tuple(("",) * size for size in watches.profile_sizes)
    corpus = corpus_of(watches.before(until_ms), table.upload_ms, config)
    holdout = holdout_of(corpus, config, until_ms)
    if config.holdout_ms == 0 or len(holdout.viewer) == 0:
        return _fitted(corpus, table, config, from_ms, until_ms, words, start)
    curve, best = [], None
    vectors = start(corpus.watches.before(holdout.from_ms)) if start else None
    trainer = Trainer(corpus, examples_of(corpus, config, from_ms, holdout.from_ms), table, config, vectors)
    for epoch in range(config.epochs):
        loss = trainer.epoch()
        arrays = exported(trainer.model, corpus, holdout.from_ms, words)
        curve.append(EpochRecord(epoch + 1, loss, holdout.recall(arrays, corpus, table)))
        top = max(curve, key=lambda record: record.recall_at_100)
        if top is curve[-1]:
            best = arrays
        if epoch + 1 - top.epoch > config.patience:
            break
    if config.refit:
        shorter = config.model_copy(update={"epochs": top.epoch})
        best = _fitted(corpus, table, shorter, from_ms, until_ms, words, start).arrays
    assert best is not None
    return TrainedTowers(best, tuple(curve))


def _fitted(
    corpus: Corpus,
    table: VideoTable,
    config: TowerConfig,
    from_ms: int,
    until_ms: int,
    words: tuple[tuple[str, ...], ...],
    start: Start | None = None,
) -> TrainedTowers:
    vectors = start(corpus.watches) if start else None
    trainer = Trainer(corpus, examples_of(corpus, config, from_ms, until_ms), table, config, vectors)
    losses = [trainer.epoch() for _ in range(config.epochs)]
    curve = [EpochRecord(at + 1, loss, float("nan")) for at, loss in enumerate(losses)]
    return TrainedTowers(exported(trainer.model, corpus, until_ms, words), tuple(curve))
